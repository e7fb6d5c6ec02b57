"""`lazaret up`, `api` and `worker`: run the processes, say in one screen what is and what is missing, end well."""

import asyncio
import contextlib
import importlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection, Generator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from lazaret import __version__
from lazaret.entrypoints.api.app import create_app, create_health_app
from lazaret.entrypoints.living import living
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.start_screen import print_start_screen
from lazaret.entrypoints.zeros import start_at_zero
from lazaret.kernel import audit
from lazaret.kernel.errors import Misconfigured
from lazaret.kernel.logging import get_logger
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings
from lazaret.users.model import Role
from lazaret.users.store import create_token, has_tokens

logger = get_logger(__name__)

GRACE_S = 5
"""Open requests get so long at the end."""

PARTS = {
    "monitor": "lazaret.entrypoints.monitor:run_monitor",
    "bot": "lazaret.entrypoints.bot.process:run_bot",
    "worker": "lazaret.entrypoints.worker:run_worker",
}
"""What runs beside the API, as `module:function`."""


async def run_up(settings: Settings, redactor: Redactor, *, parts: Collection[str]) -> None:
    """Run some of `api`, `worker`, `monitor`, `bot` until a signal: the first ends gracefully, the second at once."""
    async with ending_by_signal(), contextlib.AsyncExitStack() as stack:
        listening = _listen(settings, parts)
        if listening is not None:
            stack.callback(listening.close)
        office = await stack.enter_async_context(open_office(settings, redactor=redactor))
        await stack.enter_async_context(living(office, parts))
        token = await _first_token(office) if "api" in parts else None
        address = f"http://{settings.lazaret_bind}:{listening.getsockname()[1]}" if listening is not None else ""
        print_start_screen(settings, parts=parts, address=address, first_token=token)
        async with asyncio.TaskGroup() as group:
            answering = asyncio.Event()
            if listening is not None:
                group.create_task((serve if "api" in parts else serve_metrics)(office, listening, answering))
                await answering.wait()
            for part, run in PARTS.items():
                if part in parts:
                    group.create_task(_run_part(part, run, office))
        logger.info("lazaret.ended", version=__version__)


def _listen(settings: Settings, parts: Collection[str]) -> socket.socket | None:
    """Where this process answers: at the API's port, or at that of the metrics, if it is to have one."""
    if "api" in parts:
        return listen_on(settings.lazaret_bind, settings.lazaret_port)
    if settings.lazaret_metrics_port:
        return listen_on(settings.lazaret_bind, settings.lazaret_metrics_port, setting="LAZARET_METRICS_PORT")
    return None


@asynccontextmanager
async def ending_by_signal() -> AsyncIterator[None]:
    """SIGINT and SIGTERM cancel the block, which ends without error; a second one ends the process at once."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    asked = False

    def end() -> None:
        nonlocal asked
        if asked:
            os._exit(1)
        asked = True
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        yield
    except asyncio.CancelledError:
        if not asked:
            raise
        task.uncancel()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def listen_on(address: str, port: int, *, setting: str = "LAZARET_PORT") -> socket.socket:
    """A listening socket, taken before anything else is started. Raises `Misconfigured`."""
    try:
        return socket.create_server((address, port), backlog=128)
    except (OSError, OverflowError) as error:
        raise Misconfigured(
            f"Lazaret cannot listen on {address} port {port}: {getattr(error, 'strerror', '') or error}.",
            hint=f"Another program may have the port: set {setting} to a free one.",
        ) from None


async def _run_part(part: str, place: str, office: Office) -> None:
    """Import it beside the loop: SSH, LangGraph and Ansible take longer to import than the API to start."""
    module, _, function = place.partition(":")
    imported = await asyncio.to_thread(importlib.import_module, module)
    start_at_zero(part)
    await getattr(imported, function)(office)


async def serve(office: Office, listening: socket.socket, answering: asyncio.Event | None = None) -> None:
    """The API on `listening`, until cancelled; `answering` is set as soon as it takes requests."""
    start_at_zero("api")
    app = create_app(office)
    await _serve(app, listening, answering, at_end=app.state.bell.close)


async def serve_metrics(office: Office, listening: socket.socket, answering: asyncio.Event | None = None) -> None:
    """`/metrics`, `/healthz` and `/readyz` alone, until cancelled."""
    await _serve(create_health_app(office), listening, answering)


async def _serve(
    app: FastAPI,
    listening: socket.socket,
    answering: asyncio.Event | None,
    *,
    at_end: Callable[[], None] = lambda: None,
) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    server = QuietServer(config, answering)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.should_exit = True
        at_end()
        while not task.done():  # whoever is impatient cancels again; cut short, the server would end in a traceback
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(task)
        raise


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers of its own, that says when it has started."""

    def __init__(self, config: uvicorn.Config, answering: asyncio.Event | None = None) -> None:
        super().__init__(config)
        self._answering = answering

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._answering is not None:
            self._answering.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _first_token(office: Office) -> str | None:
    """The first administrator's token, made at the first start; None at any later one."""
    async with office.db.transaction() as session:
        if await has_tokens(session):
            return None
        _, token = await create_token(session, "first", Role.ADMIN, audit.WORKER, at=office.clock.now())
    return token.get_secret_value()
