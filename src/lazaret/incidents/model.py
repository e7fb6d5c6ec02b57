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

_OPEN_SQL = "status <> 'resolved'"


class Incident(Base):
    """One thing that went wrong. `details` are plain JSON and hold no secret."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("uq_incidents_open", "server_handle", "incident_type", unique=True, postgresql_where=text(_OPEN_SQL)),
        Index("ix_incidents_detected_at", "detected_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"))
    incident_type: Mapped[str]
    detected_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    status: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    affected_services: Mapped[list[Any]] = mapped_column(server_default="[]")
    recovery_attempts: Mapped[int] = mapped_column(server_default="0")
