"""`lazaret up`, `api` and `worker`: run the processes, say in one screen what is and what is missing, end well."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Collection, Generator
from contextlib import asynccontextmanager

import uvicorn

from lazaret import __version__
from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.start_screen import print_start_screen
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


async def run_up(settings: Settings, redactor: Redactor, *, parts: Collection[str]) -> None:
    """Run some of `api`, `worker`, `monitor`, `bot` until a signal: the first ends gracefully, the second at once."""
    async with ending_by_signal(), contextlib.AsyncExitStack() as stack:
        listening = listen_on(settings.lazaret_bind, settings.lazaret_port) if "api" in parts else None
        if listening is not None:
            stack.callback(listening.close)
        office = await stack.enter_async_context(open_office(settings, redactor=redactor))
        token = await _first_token(office) if "api" in parts else None
        address = f"http://{settings.lazaret_bind}:{listening.getsockname()[1]}" if listening is not None else ""
        print_start_screen(settings, parts=parts, address=address, first_token=token)
        async with asyncio.TaskGroup() as group:
            if listening is not None:
                group.create_task(serve(office, listening))
            if "monitor" in parts:
                from lazaret.entrypoints.monitor import run_monitor  # noqa: PLC0415 - heavy; the API needs none of it

                group.create_task(run_monitor(office))
            if "bot" in parts:
                from lazaret.entrypoints.bot.process import run_bot  # noqa: PLC0415 - heavy; the API needs none of it

                group.create_task(run_bot(office))
            if "worker" in parts:
                from lazaret.entrypoints.worker import run_worker  # noqa: PLC0415 - heavy; the API needs none of it

                group.create_task(run_worker(office))
        logger.info("lazaret.ended", version=__version__)


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


def listen_on(address: str, port: int) -> socket.socket:
    """A listening socket, taken before anything else is started. Raises `Misconfigured`."""
    try:
        return socket.create_server((address, port), backlog=128)
    except (OSError, OverflowError) as error:
        raise Misconfigured(
            f"Lazaret cannot listen on {address} port {port}: {getattr(error, 'strerror', '') or error}.",
            hint="Another program may have the port: set LAZARET_PORT to a free one.",
        ) from None


async def serve(office: Office, listening: socket.socket) -> None:
    """The API on `listening`, until cancelled."""
    config = uvicorn.Config(
        create_app(office),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        ws="none",
    )
    server = QuietServer(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.should_exit = True
        server.config.app.state.bell.close()  # type: ignore[union-attr] # our own app
        await task
        raise


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers of its own."""

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
