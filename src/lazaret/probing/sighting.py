"""What one look at a server from outside met: the words in which every sense reports. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lazaret.servers.access import (
    AccessError,
    ConnectionRefusedByHost,
    HostKeyChanged,
    HostSilent,
    HungUp,
    LoginRefused,
    NoBanner,
)


class Means(StrEnum):
    """The way of looking. Two different means must agree before a server is called lost."""

    STREAM = "stream"
    """The open connection that brings readings."""
    TCP = "tcp"
    """A fresh TCP connect to the SSH port."""
    LOGIN = "login"
    """A fresh SSH login that runs a command."""
    SERVICE = "service"
    """A fresh TCP connect to a port that a service on the server publishes."""


class Seen(StrEnum):
    """What a look met, from the best to the worst."""

    WELL = "well"
    """It answered as it should."""
    REFUSED = "refused"
    """The machine answered with a reset: it is up, nothing listens there."""
    NO_BANNER = "no_banner"
    """TCP is accepted, but SSH says nothing that we understand: starting, overloaded or hung."""
    HUNG_UP = "hung_up"
    """TCP is accepted and ended again before a login: sshd lives and takes us in no more, or not just now."""
    LOGIN_REFUSED = "login_refused"
    """SSH answers and does not accept our key."""
    HOST_KEY_CHANGED = "host_key_changed"
    """SSH answers with a host key that is not pinned. Nothing secret was sent."""
    LOST = "lost"
    """The connection was there and ended, or stopped talking: says nothing of the cause."""
    SILENT = "silent"
    """No answer at all within the time allowed."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look. `vantage` names from where."""

    at: datetime
    means: Means
    seen: Seen
    detail: str = ""
    vantage: str = "main"


_SEEN: tuple[tuple[type[AccessError], Seen], ...] = (
    (HostSilent, Seen.SILENT),
    (ConnectionRefusedByHost, Seen.REFUSED),
    (HungUp, Seen.HUNG_UP),
    (NoBanner, Seen.NO_BANNER),
    (LoginRefused, Seen.LOGIN_REFUSED),
    (HostKeyChanged, Seen.HOST_KEY_CHANGED),
)


def seen_by(error: AccessError) -> Seen:
    """What an error of `servers.access` means as a look."""
    return next((seen for kind, seen in _SEEN if isinstance(error, kind)), Seen.LOST)
