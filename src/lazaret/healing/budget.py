"""How much may be done: limits that configuration can lower and never raise, and rests that double. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lazaret.healing.remedy import Remedy

DAY = timedelta(hours=24)
MOST_IN_FLIGHT = 3
MOST_PER_DAY: dict[Remedy, int] = {
    Remedy.RESTART_SERVICE: 10,
    Remedy.RESTART_DOCKER: 6,
    Remedy.FREE_DISK: 6,
    Remedy.FLUSH_FIREWALL: 6,
    Remedy.REBOOT: 3,
    Remedy.PROVISION_AGAIN: 4,
    Remedy.REINSTALL: 1,
}
"""Per server and 24 hours."""
REST_S = 120.0
"""After a remedy on a server, the same remedy rests so long, doubled with each use within a day."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed. Values above the built-in ones are cut down to them."""

    in_flight: int = MOST_IN_FLIGHT
    """Recoveries at work at the same time, in the whole fleet."""
    per_day: dict[Remedy, int] = field(default_factory=lambda: dict(MOST_PER_DAY))
    rest_s: float = REST_S

    def __post_init__(self) -> None:
        object.__setattr__(self, "in_flight", min(self.in_flight, MOST_IN_FLIGHT))
        lowered = {remedy: max(0, min(self.per_day.get(remedy, most), most)) for remedy, most in MOST_PER_DAY.items()}
        object.__setattr__(self, "per_day", lowered)


@dataclass(frozen=True, slots=True)
class Spent:
    """One remedy that was begun on the server."""

    remedy: Remedy
    server: str
    at: datetime
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may begin."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """It may not, before `until`."""

    because: str
    until: datetime
    exhausted: bool = False
    """The day's uses are spent: nothing changes soon, so that a person is to be told."""


def may_begin(
    remedy: Remedy, history: Sequence[Spent], in_flight: int, now: datetime, limits: Limits
) -> Allowed | Blocked:
    """Whether a remedy may begin on a server whose own history of the last 24 hours this is."""
    if in_flight >= limits.in_flight:
        return Blocked(f"{in_flight} recoveries are at work, which is the limit.", now + timedelta(seconds=15))
    used = sorted(spent.at for spent in history if spent.remedy is remedy and now - spent.at < DAY)
    most = limits.per_day.get(remedy, 0)
    if len(used) >= most:
        until = used[-most] + DAY if most else now + DAY
        return Blocked(
            f"{remedy} was used {len(used)} times on this server within 24 hours, which is the limit.",
            until,
            exhausted=True,
        )
    if used:
        until = used[-1] + timedelta(seconds=limits.rest_s * 2 ** (len(used) - 1))
        if now < until:
            return Blocked(f"{remedy} was used at {used[-1]:%H:%M:%S} UTC and rests until {until:%H:%M:%S} UTC.", until)
    return Allowed()
