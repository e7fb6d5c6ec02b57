"""The lab's files on disk: one small JSON file per server, replaced atomically, readable by the owner alone.

Holds root passwords, since a restarted lab must still know them; nothing else reads these files.
"""

import os
from pathlib import Path

from pydantic import ValidationError

from lazaret.lab.servers import CloudServer


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically by a file of mode 0600."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


class ServerStore:
    """Keeps the servers of the account over a restart of the lab."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def save(self, server: CloudServer) -> None:
        """Write the present state of one server."""
        write_private(self._path(server.server_id), server.model_dump_json())

    def forget(self, server_id: int) -> None:
        """The server is gone."""
        self._path(server_id).unlink(missing_ok=True)

    def load(self) -> list[CloudServer]:
        """All servers by id; a file that cannot be read is skipped: it is a lab, and its host is rebuilt by hand."""
        servers = []
        for path in self._directory.glob("[0-9]*.json"):
            try:
                servers.append(CloudServer.model_validate_json(path.read_text(encoding="utf-8")))
            except ValidationError:
                continue
        return sorted(servers, key=lambda server: server.server_id)

    def _path(self, server_id: int) -> Path:
        return self._directory / f"{server_id}.json"
