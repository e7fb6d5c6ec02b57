"""What happens to a connection before and after the API: 5xx pages, slow answers, cut connections.

An ASGI layer around the provider's app, and the HTTP protocol class that lets it hang up. Decides by switches only.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lazaret.kernel.clock import Clock
from lazaret.lab.api import BASE_PATH
from lazaret.lab.calls import ProviderCall, parse_call
from lazaret.lab.journal import Journal
from lazaret.lab.switches import Cut, GatewayError, Slow, Switchboard

HANG_UP = "lab.hang_up"
"""Key of a request's scope under which the connection can be closed; the argument tells whether to flush first."""

_PAGE = """<html>\r\n<head><title>{status} Bad Gateway</title></head>\r\n<body>\r\n<center><h1>{status} Bad Gateway</h1>
</center>\r\n<hr><center>nginx</center>\r\n<!-- {padding} -->\r\n</body>\r\n</html>\r\n"""


class LabHttpProtocol(H11Protocol):
    """uvicorn's protocol, with a way for the app to hang up in the middle of an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        inner = self.app

        def hang_up(flush: bool) -> None:
            if flush:
                transport.close()
            else:
                transport.abort()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope[HANG_UP] = hang_up
            await inner(scope, receive, send)

        self.app = app


class Gateway:
    """The provider's front end, as unreliable as the switches want it."""

    def __init__(self, app: ASGIApp, *, switches: Switchboard, journal: Journal, clock: Clock) -> None:
        self._app = app
        self._switches = switches
        self._journal = journal
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = parse_call(scope["method"], scope["path"].removeprefix(BASE_PATH))
        kind, server_id = (call.kind, call.server_id) if call is not None else (None, None)
        if (cut := self._switches.take(Cut, kind, server_id)) is not None:
            await self._cut(cut, call, scope, receive, send)
        elif (error := self._switches.take(GatewayError, kind, server_id)) is not None:
            await self._maybe_execute(error.executed, call, scope, receive)
            page = HTMLResponse(_PAGE.format(status=error.status, padding="x" * 4000), status_code=error.status)
            await page(scope, receive, send)
        elif (slow := self._switches.take(Slow, kind, server_id)) is not None:
            answer = await self._execute(scope, receive)
            await self._clock.sleep(slow.delay_s)
            for message in answer:
                await send(message)
        else:
            await self._app(scope, receive, send)

    async def _cut(self, cut: Cut, call: ProviderCall | None, scope: Scope, receive: Receive, send: Send) -> None:
        hang_up: Callable[[bool], None] = scope[HANG_UP]
        if cut.after_bytes is None:
            await self._maybe_execute(cut.executed, call, scope, receive)
            hang_up(False)
        else:
            for message in await self._execute(scope, receive):
                if message["type"] == "http.response.body":
                    await send({**message, "body": message["body"][: cut.after_bytes], "more_body": True})
                else:
                    await send(message)
            hang_up(True)
        # uvicorn notices the loss in the next turns of the loop; only then may the app return without an answer
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _maybe_execute(self, executed: bool, call: ProviderCall | None, scope: Scope, receive: Receive) -> None:
        if executed:
            await self._execute(scope, receive)
        elif call is not None and call.is_action:
            self._journal.call(call.kind, call.server_id, "lost")

    async def _execute(self, scope: Scope, receive: Receive) -> list[Message]:
        """Let the app answer, and keep the answer."""
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._app(scope, receive, keep)
        return answer
