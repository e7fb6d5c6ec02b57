"""Every request has an id: the caller's, when it is well-formed, else a new one. Every answer names it."""

import time

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from lazaret.kernel.correlation import accepted, bound, new_request_id
from lazaret.kernel.logging import get_logger

logger = get_logger(__name__)

HEADER = "X-Request-ID"
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class CorrelatedApp(FastAPI):
    """Outside of all middleware, so that the answer to a failure of ours has its id too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        request_id = accepted(Headers(scope=scope).get(HEADER, "")) or new_request_id()
        begun, status = time.monotonic(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])  # an HTTPStatus would stand in the log as <HTTPStatus.OK: 200>
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with bound(request_id=request_id):
            try:
                await super().__call__(scope, receive, answer)
            finally:
                _note(scope, status, time.monotonic() - begun)


def _note(scope: Scope, status: int, took_s: float) -> None:
    """One line per request; reading ones are for who looks closely. A path may hold a secret: its route is told."""
    route = getattr(scope.get("route"), "path", "")
    told = {"handle": scope.get("path_params", {}).get("handle")} if "{handle}" in route else {}
    log = logger.debug if scope["method"] in READING else logger.info
    log("api.answered", method=scope["method"], route=route, status=status, took_s=round(took_s, 3), **told)
