"""Which call of the provider's API a request is: the words and the one table of paths.

Pure; switches, journal and API all speak in these words.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Call(StrEnum):
    """One kind of call; the value is the word that the provider's path carries, where it carries one."""

    LIST = "list"
    """GET /server: the servers of the account."""
    DETAILS = "details"
    """GET /server/{id}."""
    TASK = "task"
    """GET /server/{id}/task/{id or name}."""
    OSES = "oses"
    """GET /server/{id}/oses: what can be installed."""
    IPS = "ips"
    """GET /server/{id}/ips: additional addresses."""
    HISTORY = "history"
    """GET /server/{id}/history: traffic by month."""
    GRAPHS = "graphs"
    """GET /server/{id}/graphs/{width}."""
    SERVICES = "services"
    """GET /service: what is paid for."""
    SERVICE = "service"
    """GET /service/{id}."""
    SCRIPTS = "scripts"
    """GET /scripts: init scripts."""
    SCRIPT = "script"
    """GET /scripts/{id}."""
    REBOOT = "reboot"
    """POST: restart the machine."""
    REINSTALL = "reinstall"
    """POST: a fresh operating system; the disk is erased."""
    RESET_PASSWORD = "resetpassword"  # noqa: S105 - the word of a path
    """POST: a new root password; data stays."""
    FLUSH_FIREWALL = "flushfirewall"
    """POST: drop the packet filter rules inside the machine."""
    WEB_CONSOLE = "webconsole"
    """POST: open a console for some hours."""
    RENAME = "rename"
    """POST: another host name."""
    CHANGE_PTR = "changeptr"
    """POST: reverse name of an additional address."""
    CHANGE_DNS = "changedns"
    """POST: other resolvers."""


ACTIONS = frozenset(
    {
        Call.REBOOT,
        Call.REINSTALL,
        Call.RESET_PASSWORD,
        Call.FLUSH_FIREWALL,
        Call.WEB_CONSOLE,
        Call.RENAME,
        Call.CHANGE_PTR,
        Call.CHANGE_DNS,
    }
)
"""The calls that start a task; all others only read."""


@dataclass(frozen=True, slots=True)
class ProviderCall:
    """A request, understood. `argument` is the last part of the path: task, width or script."""

    kind: Call
    server_id: int | None = None
    argument: str = ""

    @property
    def is_action(self) -> bool:
        return self.kind in ACTIONS


_ID = r"(?P<id>\d{1,12})"
_ACTION_WORDS = "|".join(sorted(ACTIONS))
_PATHS: tuple[tuple[str, re.Pattern[str], Call | None], ...] = (
    ("GET", re.compile(r"/server"), Call.LIST),
    ("GET", re.compile(rf"/server/{_ID}"), Call.DETAILS),
    ("GET", re.compile(rf"/server/{_ID}/task/(?P<argument>[\w-]+)"), Call.TASK),
    ("GET", re.compile(rf"/server/{_ID}/oses"), Call.OSES),
    ("GET", re.compile(rf"/server/{_ID}/ips"), Call.IPS),
    ("GET", re.compile(rf"/server/{_ID}/history"), Call.HISTORY),
    ("GET", re.compile(rf"/server/{_ID}/graphs/(?P<argument>\d+)"), Call.GRAPHS),
    ("GET", re.compile(r"/service"), Call.SERVICES),
    ("GET", re.compile(rf"/service/{_ID}"), Call.SERVICE),
    ("GET", re.compile(r"/scripts"), Call.SCRIPTS),
    ("GET", re.compile(r"/scripts/(?P<argument>\d+)"), Call.SCRIPT),
    ("POST", re.compile(rf"/server/{_ID}/(?P<argument>{_ACTION_WORDS})"), None),
)


def parse_call(method: str, path: str) -> ProviderCall | None:
    """The call that `method` on `path` (below the base path) means, or None. A trailing slash is tolerated."""
    trimmed = path.rstrip("/")
    for wanted_method, pattern, kind in _PATHS:
        if method == wanted_method and (match := pattern.fullmatch(trimmed)):
            groups = match.groupdict()
            server_id = int(groups["id"]) if "id" in groups else None
            argument = groups.get("argument") or ""
            return ProviderCall(kind or Call(argument), server_id, argument)
    return None
