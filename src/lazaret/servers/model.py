"""The tables of servers and holds. Rows only; what may change them is in `store`."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base
from lazaret.servers.provider import Capability
from lazaret.servers.registry import capabilities_of
from lazaret.servers.status import ServerStatus


class Presence(StrEnum):
    """What the provider's list says of a server. The API failing says nothing."""

    KNOWN = "known"
    """In the last complete list."""
    UNKNOWN = "unknown"
    """Missing from the last list, or a list that cannot be believed."""
    ABSENT = "absent"
    """Missing from two complete lists, minutes apart."""


class RebuildPolicy(StrEnum):
    """Whether an automatic recovery may reinstall the server, which erases its data."""

    NEVER = "never"
    """Not even by approval; only an explicit request rebuilds it."""
    ASK = "ask"
    """A person must approve."""
    AUTO = "auto"
    """Allowed, when two senses agree that nothing gentler helps."""


class Server(Base):
    """One server. `handle` is made of the provider and its id; identity is both *and* the address."""

    __tablename__ = "servers"
    __table_args__ = (
        CheckConstraint(f"status in ({', '.join(repr(s.value) for s in ServerStatus)})", name="status_known"),
        CheckConstraint("not is_managed or status <> 'reserved'", name="managed_is_not_ghost"),
        Index("ix_servers_provider_id", "provider", "provider_id", unique=True),
        Index("ix_servers_status", "status"),
    )

    handle: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]
    provider_id: Mapped[int]
    host: Mapped[str]
    """Host name at the provider."""
    label: Mapped[str] = mapped_column(server_default="")
    public_ip: Mapped[str | None]
    ssh_user: Mapped[str] = mapped_column(server_default="root")
    ssh_port: Mapped[int] = mapped_column(server_default="22")
    is_managed: Mapped[bool] = mapped_column(server_default=text("false"))
    status: Mapped[str]
    status_since: Mapped[datetime]
    status_reason: Mapped[str] = mapped_column(server_default="")
    presence: Mapped[str] = mapped_column(server_default=Presence.KNOWN.value)
    last_listed_at: Mapped[datetime | None]
    missing_since: Mapped[datetime | None]
    os_template: Mapped[str | None]
    capacity_cpu: Mapped[int | None]
    capacity_ram_mb: Mapped[int | None]
    capacity_disk_mb: Mapped[int | None]
    last_health_check: Mapped[datetime | None]
    provisioning_attempts: Mapped[int] = mapped_column(server_default="0")
    last_incident: Mapped[datetime | None]
    provisioned_at: Mapped[datetime | None]
    baseline_version: Mapped[str | None]
    """Version of the playbook that last proved itself on it."""
    host_keys: Mapped[list[Any]] = mapped_column(server_default="[]")
    """Pinned SSH host keys of the present epoch, each `<type> <base64>`."""
    host_key_epoch: Mapped[int] = mapped_column(server_default="0")
    host_key_opened_by: Mapped[str] = mapped_column(server_default="")
    """What opened the present epoch: first contact, or one reinstall call of ours."""
    rebuild_policy: Mapped[str] = mapped_column(server_default=RebuildPolicy.ASK.value)
    labels: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    notes: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def capabilities(self) -> list[Capability]:
        """What its provider can do for it."""
        return sorted(capabilities_of(self.provider))


class Hold(Base):
    """Somebody stops automatic and requested action, on one server or (without a handle) on all."""

    __tablename__ = "holds"

    id: Mapped[int] = mapped_column(primary_key=True)
    server_handle: Mapped[str | None] = mapped_column(ForeignKey("servers.handle"))
    owner: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    lifted_at: Mapped[datetime | None]


class MaintenanceWindow(Base):
    """A planned time in which nothing is done to one server, or (without a handle) to any, by itself."""

    __tablename__ = "maintenance_windows"

    id: Mapped[int] = mapped_column(primary_key=True)
    server_handle: Mapped[str | None] = mapped_column(ForeignKey("servers.handle"))
    owner: Mapped[str]
    reason: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]


class SyncState(Base):
    """How the readings of one provider's list go."""

    __tablename__ = "sync_state"

    provider: Mapped[str] = mapped_column(primary_key=True)
    last_attempt_at: Mapped[datetime | None]
    last_success_at: Mapped[datetime | None]
    """The last list that was complete and believed."""
    listed: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    """Failed or unbelieved readings in a row."""
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    hint: Mapped[str | None]
