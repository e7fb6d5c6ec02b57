"""The lab's messenger over HTTP: the Bot API below `/bot<token>/`, the people below `/lab/`, and `/phone`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from lazaret.kernel.clock import Clock, SystemClock
from lazaret.lab.telegram.chats import Json, Refused, Telegram

LONGEST_POLL_S = 50.0


@dataclass
class Faults:
    """What goes wrong, until it is taken back."""

    is_down: bool = False
    """Every call of the bot's ends in a 502."""
    flood_s: int = 0
    """The next call is asked to pause so long."""
    lost_answers: int = 0
    """The next calls have their effect and an answer that never comes."""


class TelegramServer:
    """The messenger and its HTTP side."""

    def __init__(self, clock: Clock | None = None, *, token: str = "", port: int = 0) -> None:
        self.telegram = Telegram(clock or SystemClock(), token=token)
        self.faults = Faults()
        self.calls = 0
        self._port = port
        self._methods: dict[str, Callable[[Json], Awaitable[Any]]] = {
            "getme": self._get_me,
            "getupdates": self._get_updates,
            "sendmessage": self._send,
            "editmessagetext": self._edit,
            "answercallbackquery": self._answer_press,
            "setmycommands": self._set_commands,
            "getmycommands": self._get_commands,
            "setwebhook": self._set_webhook,
            "deletewebhook": self._delete_webhook,
            "getwebhookinfo": self._webhook_info,
        }
        self.app = Starlette(
            routes=[
                Route("/bot{token}/{method}", self._call, methods=["GET", "POST"]),
                Route("/lab/people/{id:int}", self._person, methods=["GET", "POST"]),
                Route("/lab/people/{id:int}/write", self._write, methods=["POST"]),
                Route("/lab/people/{id:int}/press", self._press, methods=["POST"]),
                Route("/lab/people/{id:int}/delete", self._delete, methods=["POST"]),
                Route("/lab/people", self._people),
                Route("/lab/toasts/{id}", self._toast),
                Route("/lab/faults", self._set_faults, methods=["POST"]),
                Route("/phone", self._phone),
                Route("/phone/{name}", self._phone_file),
            ]
        )

    @property
    def root_url(self) -> str:
        """Below it are the Bot API and the phone."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        """The bot's."""
        return self.telegram.token

    def environment(self, *administrators: int) -> dict[str, str]:
        """The variables that point Lazaret at this messenger. Holds the bot's token."""
        return {
            "TELEGRAM_BOT_TOKEN": self.token,
            "TELEGRAM_API_BASE_URL": self.root_url,
            "TELEGRAM_ADMIN_IDS": ",".join(map(str, administrators)),
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TelegramServer"]:
        """Listen on loopback while the block runs."""
        import socket  # noqa: PLC0415 - only here

        listening = socket.create_server(("127.0.0.1", self._port))
        self._port = listening.getsockname()[1]
        config = uvicorn.Config(self.app, log_config=None, access_log=False, timeout_graceful_shutdown=1, ws="none")
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment] # not the process's own
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        pushing = asyncio.create_task(self._push_to_webhook())
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            yield self
        finally:
            pushing.cancel()
            self.telegram.close()
            server.should_exit = True
            await asyncio.gather(serving, pushing, return_exceptions=True)
            listening.close()

    # --- the Bot API

    async def _call(self, request: Request) -> Response:
        self.calls += 1
        if self.faults.is_down:
            return PlainTextResponse("<html><body>502 Bad Gateway</body></html>", status_code=502)
        if request.path_params["token"] != self.telegram.token:
            return _refusal(Refused(401, "Unauthorized"))
        method = self._methods.get(request.path_params["method"].lower())
        if method is None:
            return _refusal(Refused(404, "Not Found: method not found"))
        try:
            if self.faults.flood_s:
                wait_s, self.faults.flood_s = self.faults.flood_s, 0
                raise Refused(429, f"Too Many Requests: retry after {wait_s}", retry_after=wait_s)
            result = await method(await _parameters(request))
        except Refused as refused:
            return _refusal(refused)
        if self.faults.lost_answers:
            self.faults.lost_answers -= 1
            await asyncio.sleep(60)
        return JSONResponse({"ok": True, "result": result})

    async def _get_me(self, _: Json) -> Json:
        return self.telegram.bot

    async def _get_updates(self, body: Json) -> list[Json]:
        timeout_s = min(float(body.get("timeout", 0)), LONGEST_POLL_S)
        return await self.telegram.updates(int(body.get("offset", 0)), timeout_s, int(body.get("limit", 100)))

    async def _send(self, body: Json) -> Json:
        return self.telegram.send(
            int(body["chat_id"]),
            str(body.get("text", "")),
            parse_mode=str(body.get("parse_mode", "")),
            keyboard=_keyboard(body),
            is_silent=bool(body.get("disable_notification", False)),
        )

    async def _edit(self, body: Json) -> Json:
        return self.telegram.edit(
            int(body["chat_id"]),
            int(body["message_id"]),
            str(body.get("text", "")),
            parse_mode=str(body.get("parse_mode", "")),
            keyboard=_keyboard(body),
        )

    async def _answer_press(self, body: Json) -> bool:
        self.telegram.answer_press(
            str(body["callback_query_id"]), str(body.get("text", "")), is_alert=bool(body.get("show_alert", False))
        )
        return True

    async def _set_commands(self, body: Json) -> bool:
        self.telegram.commands = list(body.get("commands", []))
        return True

    async def _get_commands(self, _: Json) -> list[Json]:
        return self.telegram.commands

    async def _set_webhook(self, body: Json) -> bool:
        self.telegram.webhook = {"url": str(body.get("url", "")), "secret_token": str(body.get("secret_token", ""))}
        return True

    async def _delete_webhook(self, _: Json) -> bool:
        self.telegram.webhook = {"url": ""}
        return True

    async def _webhook_info(self, _: Json) -> Json:
        return {
            "url": self.telegram.webhook["url"],
            "has_custom_certificate": False,
            "pending_update_count": 0,
        }

    async def _push_to_webhook(self) -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                changed = self.telegram.changed
                url = self.telegram.webhook["url"]
                for update in self.telegram.take_updates() if url else ():
                    secret = self.telegram.webhook.get("secret_token", "")
                    headers = {"X-Telegram-Bot-Api-Secret-Token": secret} if secret else {}
                    with contextlib.suppress(httpx.HTTPError):
                        await client.post(url, json=update, headers=headers)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), 0.5)

    # --- the people

    async def _person(self, request: Request) -> Response:
        person_id = request.path_params["id"]
        facts = await request.json() if request.method == "POST" else {}
        if not facts and person_id not in self.telegram.people:
            return JSONResponse({"detail": "nobody has this id"}, status_code=404)
        person = self.telegram.person(person_id, **facts)
        messages = [
            {
                "id": one.id,
                "from_bot": one.sender == 0,
                "text": one.text,
                "entities": one.entities,
                "keyboard": one.keyboard,
                "date": one.date,
                "is_silent": one.is_silent,
                "is_deleted": one.is_deleted,
                "edits": len(one.history),
                "history": one.history,
            }
            for one in self.telegram.chats[person_id]
        ]
        return JSONResponse({**person.as_json(), "has_blocked": person.has_blocked, "messages": messages})

    async def _people(self, _: Request) -> Response:
        return JSONResponse([one.as_json() for one in self.telegram.people.values()])

    async def _write(self, request: Request) -> Response:
        message = self.telegram.write(request.path_params["id"], str((await request.json())["text"]))
        return JSONResponse({"id": message.id})

    async def _press(self, request: Request) -> Response:
        body = await request.json()
        person_id = request.path_params["id"]
        chat_id = int(body.get("chat_id", person_id))
        query_id = self.telegram.press(person_id, chat_id, int(body["message_id"]), str(body["data"]))
        return JSONResponse({"query_id": query_id})

    async def _delete(self, request: Request) -> Response:
        self.telegram.delete(request.path_params["id"], int((await request.json())["message_id"]))
        return JSONResponse({})

    async def _toast(self, request: Request) -> Response:
        return JSONResponse(self.telegram.toasts.get(request.path_params["id"], {"is_answered": False}))

    async def _set_faults(self, request: Request) -> Response:
        body = await request.json()
        for name in ("is_down", "flood_s", "lost_answers"):
            if name in body:
                setattr(self.faults, name, body[name])
        for name in ("chat_gap_s", "burst"):
            if name in body:
                setattr(self.telegram.limits, name, body[name])
        return JSONResponse({})

    # --- the phone

    async def _phone(self, _: Request) -> Response:
        return self._file("phone.html", "text/html")

    async def _phone_file(self, request: Request) -> Response:
        types = {"phone.js": "text/javascript", "phone.css": "text/css"}
        name = request.path_params["name"]
        return self._file(name, types[name]) if name in types else PlainTextResponse("", status_code=404)

    @staticmethod
    def _file(name: str, media_type: str) -> Response:
        content = files("lazaret.lab.telegram").joinpath("phone", name).read_text(encoding="utf-8")
        policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
        return Response(content, media_type=media_type, headers={"Content-Security-Policy": policy})


def _refusal(refused: Refused) -> Response:
    body: Json = {"ok": False, "error_code": refused.code, "description": refused.description}
    if refused.parameters:
        body["parameters"] = refused.parameters
    return JSONResponse(body, status_code=refused.code)


async def _parameters(request: Request) -> Json:
    """Query, form or JSON; in a form every value that is not a text is written as JSON."""
    body: Json = dict(request.query_params)
    if "application/json" in request.headers.get("content-type", ""):
        sent: Json = await request.json()
        return body | sent
    for name, value in (await request.form()).items():
        body[name] = value if isinstance(value, str) else ""
    return {name: _value(name, value) for name, value in body.items()}


def _value(name: str, value: Any) -> Any:
    if name in {"text", "data", "callback_query_id", "url", "secret_token", "parse_mode"} or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _keyboard(body: Json) -> list[list[Json]]:
    markup = body.get("reply_markup") or {}
    if isinstance(markup, str):
        markup = json.loads(markup)
    return [list(row) for row in markup.get("inline_keyboard", [])]
