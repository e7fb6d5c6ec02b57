"""The hosts file on the disk: read again when it changed, and the permission that stands in it."""

from pathlib import Path

from lazaret.adapters.static.hosts import LONGEST_TEXT, HostsFileUnreadable, StaticHost, parse_hosts
from lazaret.kernel.logging import get_logger

logger = get_logger(__name__)

_Stamp = tuple[int, int, int, int]


class HostsFile:
    """One file. What was read counts as long as the file is the same by its number, size and times."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: _Stamp | None = None
        self._hosts: tuple[StaticHost, ...] = ()
        self._told = ""

    def hosts(self) -> tuple[StaticHost, ...]:
        """Every host, as the file stands now. Raises `HostsFileUnreadable`."""
        try:
            stamp = _stamp_of(self.path)
            if stamp != self._stamp:
                with self.path.open(encoding="utf-8") as file:
                    self._hosts = parse_hosts(file.read(LONGEST_TEXT + 1))
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            self._stamp = None
            why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
            raise HostsFileUnreadable(
                f"The hosts file {self.path} cannot be read: {why}.",
                hint="Make it readable for the user that runs Lazaret, or mend LAZARET_STATIC_HOSTS_FILE.",
            ) from None
        except HostsFileUnreadable:
            self._stamp = None
            raise
        return self._hosts

    def managed_ids(self) -> frozenset[int]:
        """Who may be changed. Never raises: a file that cannot be understood allows nothing."""
        try:
            hosts = self.hosts()
        except HostsFileUnreadable as error:
            if error.message != self._told:
                self._told = error.message
                logger.warning("hosts_file.unreadable", error=error.message)
            return frozenset()
        self._told = ""
        return frozenset(host.id for host in hosts if host.managed)

    def beside(self, path: Path) -> Path:
        """A path that the file names: a relative one begins in the file's directory."""
        return self.path.parent / path.expanduser()


def _stamp_of(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
