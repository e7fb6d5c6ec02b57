"""The table of incidents: what went wrong on a server, from its detection to its end."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class IncidentType(StrEnum):
    """What went wrong."""

    SERVER_UNREACHABLE = "server_unreachable"
    """A server that was in order cannot be reached."""
    PROVISIONING_FAILED = "provisioning_failed"
    """A server could not be set up."""
    SERVICE_DOWN = "service_down"
    """A deployed service does not answer."""
    RESOURCE_EXHAUSTED = "resource_exhausted"
    """Disk, memory or inodes are used up."""
    HOST_KEY_CHANGED = "host_key_changed"
    """The machine that answers is not the one that was pinned."""
    PROVIDER_UNAVAILABLE = "provider_api_unavailable"
    """The provider's API refuses or does not answer."""
    SECURITY_DRIFT = "security_drift"
    """A protection that was set up is no longer in force."""
    MANY_SERVERS_LOST = "many_servers_lost"
    """So many servers are unwell at once that one cause is likely: no remedy begins. Of the fleet, not of a server."""
    OBSERVER_BLIND = "observer_blind"
    """A monitor cannot see: no verdicts. Of the fleet, not of a server."""


class IncidentStatus(StrEnum):
    """How far an incident has come."""

    DETECTED = "detected"
    """Confirmed; nothing was begun."""
    RECOVERING = "recovering"
    """Something is being done."""
    RESOLVED = "resolved"
    """The same probe that opened it proves that it is over."""
    FAILED = "failed"
    """A person must take over."""


OPEN = frozenset({IncidentStatus.DETECTED, IncidentStatus.RECOVERING, IncidentStatus.FAILED})
"""Not over: at most one per server and type."""

UNPROVED = "unproved"
"""The detail of an incident whose server began to be set up anew and was not proved: an answer alone ends it not."""

_OPEN_SQL = "status <> 'resolved'"


class Incident(Base):
    """One thing that went wrong. `details` are plain JSON and hold no secret."""

    __tablename__ = "incidents"
    __table_args__ = (
        # A null is distinct from every other: without the function two incidents of the fleet could be open.
        Index(
            "uq_incidents_open",
            text("coalesce(server_handle, '')"),
            "incident_type",
            "provider",
            unique=True,
            postgresql_where=text(_OPEN_SQL),
        ),
        Index("ix_incidents_server", "server_handle", "id"),
        Index("ix_incidents_detected_at", "detected_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    server_handle: Mapped[str | None] = mapped_column(ForeignKey("servers.handle"))
    """None for what concerns the fleet."""
    provider: Mapped[str] = mapped_column(server_default="")
    """Of an incident of the fleet: the provider whose servers it is about. Empty: all, or one server."""
    incident_type: Mapped[str]
    cause: Mapped[str] = mapped_column(server_default="")
    """The condition that was confirmed (`silent`, `docker_down`, ...)."""
    began_at: Mapped[datetime]
    """The first sign of it: detection took `detected_at` minus this."""
    detected_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    status: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    affected_services: Mapped[list[Any]] = mapped_column(server_default="[]")
    recovery_attempts: Mapped[int] = mapped_column(server_default="0")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    """The incident of the fleet that this one is a part of."""
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]


class TimelineKind(StrEnum):
    """What a line of an incident's timeline tells."""

    OBSERVATION = "observation"
    """Something was seen."""
    DECISION = "decision"
    """Something was decided, or was not done, and why."""
    ATTEMPT = "attempt"
    """A remedy was begun or ended."""
    MESSAGE = "message"
    """Somebody was told."""
    PERSON = "person"
    """A person did or said something."""


class TimelineEntry(Base):
    """One line of an incident's story. `data` is plain JSON and holds no secret."""

    __tablename__ = "incident_timeline"
    __table_args__ = (Index("ix_incident_timeline_incident", "incident_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"))
    at: Mapped[datetime]
    kind: Mapped[str]
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
