"""Updates by webhook: Telegram calls us. Each call must bring the secret that we named when we registered."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from telegram import Update
from telegram.ext import Application

from lazaret.entrypoints.up import QuietServer, listen_on
from lazaret.kernel.settings import Settings

LARGEST_UPDATE = 256 * 1024
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header


@asynccontextmanager
async def updates_by_webhook(
    app: Application[Any, Any, Any, Any, Any, Any], settings: Settings, allowed: list[str]
) -> AsyncIterator[None]:
    """Listen and be registered with Telegram while the block runs. Raises `Misconfigured` when the port is taken."""
    secret = secret_of(settings)

    async def take(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), secret.encode()):
            return PlainTextResponse("", status_code=403)
        body = await request.body()
        if len(body) > LARGEST_UPDATE:
            return PlainTextResponse("", status_code=413)
        try:
            update = Update.de_json(await request.json(), app.bot)
        except Exception:  # noqa: BLE001 - whatever it is, it is no update
            return PlainTextResponse("", status_code=400)
        await app.update_queue.put(update)
        return PlainTextResponse("")

    path = urlsplit(settings.telegram_webhook_url).path or "/"
    listening = listen_on(settings.telegram_webhook_bind, settings.telegram_webhook_port)
    web = Starlette(routes=[Route(path, take, methods=["POST"])])
    server = QuietServer(uvicorn.Config(web, log_config=None, access_log=False, server_header=False, ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await app.bot.set_webhook(settings.telegram_webhook_url, secret_token=secret, allowed_updates=allowed)
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        listening.close()


def secret_of(settings: Settings) -> str:
    """Derived from the token, so that it is the same in every process and in no file."""
    assert settings.telegram_bot_token is not None
    return hashlib.sha256(b"webhook " + settings.telegram_bot_token.get_secret_value().encode()).hexdigest()
