"""May this service go onto this server? One fail-closed rule: what is not known is not enough. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lazaret.servers.status import OPERATIONAL, ServerStatus

FRESH = timedelta(minutes=10)
"""A measurement that is older says nothing."""
MEMORY_RESERVE_MB = 128
"""So much stays free beyond what the service asks for."""
DISK_RESERVE_MB = 1024


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a server was measured to have free."""

    memory_available_mb: int
    disk_available_mb: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a server that may take a service."""

    handle: str
    is_managed: bool
    status: ServerStatus
    is_provisioned: bool
    open_incidents: int
    live_operation: str = ""
    holds: Sequence[str] = ()
    capacity: Capacity | None = None
    ports_taken: frozenset[int] = field(default_factory=frozenset)
    names_taken: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a service needs. `port` is None where any will do."""

    service_name: str
    memory_mb: int
    disk_mb: int
    port: int | None = None


NOT_MEASURED = "its free memory and disk were not measured yet (a monitor does so within a minute)"


def refusals(candidate: Candidate, wanted: Wanted, *, at: datetime) -> list[str]:
    """Every reason against it, each one clause; none means that it is admitted."""
    return [*_state(candidate), *_room(candidate, wanted, at), *_names(candidate, wanted)]


def _state(candidate: Candidate) -> list[str]:
    found = []
    if not candidate.is_managed:
        found.append("it is not managed")
    if candidate.status not in OPERATIONAL:
        found.append(f"it is {candidate.status}")
    if not candidate.is_provisioned:
        found.append("it was never set up")
    if candidate.open_incidents:
        found.append(f"{candidate.open_incidents} incident(s) are open")
    if candidate.live_operation:
        found.append(f"it is busy with {candidate.live_operation}")
    found += [f"it is on hold: {reason}" for reason in candidate.holds]
    return found


def _room(candidate: Candidate, wanted: Wanted, at: datetime) -> list[str]:
    capacity = candidate.capacity
    if capacity is None:
        return [NOT_MEASURED]
    if at - capacity.at > FRESH:
        return [f"its free memory and disk were last measured at {capacity.at:%Y-%m-%d %H:%M} UTC"]
    found = []
    if capacity.memory_available_mb < wanted.memory_mb + MEMORY_RESERVE_MB:
        need = f"{wanted.memory_mb} and {MEMORY_RESERVE_MB} in reserve are needed"
        found.append(f"{capacity.memory_available_mb} MB of memory are free, {need}")
    if capacity.disk_available_mb < wanted.disk_mb + DISK_RESERVE_MB:
        need = f"{wanted.disk_mb} and {DISK_RESERVE_MB} in reserve are needed"
        found.append(f"{capacity.disk_available_mb} MB of disk are free, {need}")
    return found


def _names(candidate: Candidate, wanted: Wanted) -> list[str]:
    found = []
    if wanted.service_name in candidate.names_taken:
        found.append(f"a service {wanted.service_name} is there already")
    if wanted.port is not None and wanted.port in candidate.ports_taken:
        found.append(f"port {wanted.port} is taken")
    return found


def best(candidates: Collection[Candidate], wanted: Wanted, *, at: datetime) -> Candidate | None:
    """The admissible one with most memory left, by handle among equals."""
    admissible = [candidate for candidate in candidates if not refusals(candidate, wanted, at=at)]
    return min(
        admissible,
        key=lambda one: (-(one.capacity.memory_available_mb if one.capacity else 0), one.handle),
        default=None,
    )


def is_only_unmeasured(candidates: Collection[Candidate], wanted: Wanted, *, at: datetime) -> bool:
    """Whether nothing speaks against one of them but that no monitor has measured it yet, which passes by itself."""
    return any(refusals(candidate, wanted, at=at) == [NOT_MEASURED] for candidate in candidates)


def why_not(candidates: Sequence[Candidate], wanted: Wanted, *, at: datetime) -> str:
    """What speaks against each of the first ten."""
    if not candidates:
        return "There is no managed server."
    told = [f"{one.handle}: {', '.join(refusals(one, wanted, at=at))}" for one in candidates[:10]]
    more = f" (and {len(candidates) - 10} more)" if len(candidates) > 10 else ""
    return f"No server may take {wanted.service_name} now. {'; '.join(told)}{more}."


def free_port(taken: Collection[int], allowed: range) -> int | None:
    """The lowest port of the range that nobody has."""
    return next((port for port in allowed if port not in taken), None)
