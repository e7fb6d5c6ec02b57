"""Which incident a condition is, and how loud it is told. Pure."""

from dataclasses import dataclass

from lazaret.alerting.model import Level
from lazaret.incidents.model import IncidentType
from lazaret.probing.verdict import Condition


@dataclass(frozen=True, slots=True)
class Kind:
    """How a condition is treated."""

    incident_type: IncidentType
    level: Level


_LOST = Kind(IncidentType.SERVER_UNREACHABLE, Level.ERROR)
_FULL = Kind(IncidentType.RESOURCE_EXHAUSTED, Level.WARNING)
_KINDS: dict[Condition, Kind] = {
    Condition.HOST_KEY_CHANGED: Kind(IncidentType.HOST_KEY_CHANGED, Level.CRITICAL),
    Condition.DOCKER_DOWN: Kind(IncidentType.SERVICE_DOWN, Level.ERROR),
    Condition.SERVICE_DOWN: Kind(IncidentType.SERVICE_DOWN, Level.ERROR),
    Condition.FIREWALL_OFF: Kind(IncidentType.SECURITY_DRIFT, Level.ERROR),
    Condition.DISK_FULL: _FULL,
    Condition.INODES_FULL: _FULL,
    Condition.MEMORY_EXHAUSTED: _FULL,
}

LOST_TYPES = frozenset({_LOST.incident_type, IncidentType.HOST_KEY_CHANGED})
"""The faces that the loss of a server has: nobody can log in."""

WATCHED_TYPES = frozenset({kind.incident_type for kind in _KINDS.values()} | {_LOST.incident_type})
"""The types that the monitor opens, and that it may resolve when it sees their end."""


def kind_of(condition: Condition) -> Kind:
    """Every condition that is not listed means that nobody can log in."""
    return _KINDS.get(condition, _LOST)
