"""The tables of operations, their steps and events, and of calls to a provider. Rows only."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class OperationKind(StrEnum):
    """What is to be done to a server."""

    PROVISION = "provision"
    """Set it up; data stays."""
    REBUILD = "rebuild"
    """Set it up on a fresh operating system, or, with `keep_os`, again on the one it has."""
    RECOVER = "recover"
    """Bring a lost server back, rung by rung."""
    REBOOT = "reboot"
    """Restart it by the provider."""
    DEPLOY = "deploy"
    """Bring a service onto it."""


class OperationStatus(StrEnum):
    """Where an operation stands."""

    QUEUED = "queued"
    """Waits for a worker, or for its next attempt at `due_at`."""
    RUNNING = "running"
    """A worker has the lease."""
    WAITING = "waiting"
    """A person must act; `waiting_for` says what."""
    SUCCEEDED = "succeeded"
    """Its effect was proved."""
    FAILED = "failed"
    """It ended without success; `error` says why."""
    CANCELLED = "cancelled"
    """Somebody stopped it, or its reason went away."""
    SUPERSEDED = "superseded"
    """Another operation took the server over; this one changed nothing afterwards."""


LIVE = frozenset({OperationStatus.QUEUED, OperationStatus.RUNNING, OperationStatus.WAITING})
"""At most one operation per server is in one of these."""

_LIVE_SQL = "status in ('queued', 'running', 'waiting')"


class Operation(Base):
    """One piece of work on one server, from the intent to its end."""

    __tablename__ = "operations"
    __table_args__ = (
        Index("uq_operations_live", "server_handle", unique=True, postgresql_where=text(_LIVE_SQL)),
        Index("ix_operations_due", "due_at", postgresql_where=text(_LIVE_SQL)),
        Index("ix_operations_server", "server_handle", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"))
    kind: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=OperationStatus.QUEUED.value)
    requested_by: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    params: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """What the intent asks for: `reinstall` (bool), `os_template`, `is_incident_recovery`, `incident_id`;
    and the `request_id` of who asked."""
    priority: Mapped[int] = mapped_column(server_default="0")
    """Higher goes first."""
    step: Mapped[str] = mapped_column(server_default="")
    """The step that runs or is next."""
    attempt: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int]
    resumes: Mapped[int] = mapped_column(server_default="0")
    """How often a worker took it over after a crash since the last step that advanced."""
    due_at: Mapped[datetime]
    waiting_for: Mapped[str | None]
    waiting_until: Mapped[datetime | None]
    lease: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    cancel_requested_by: Mapped[str | None]
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    hint: Mapped[str | None]
    result: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class OperationStep(Base):
    """One run of one step: kept for every attempt, so that the history shows what happened and how long it took."""

    __tablename__ = "operation_steps"
    __table_args__ = (Index("ix_operation_steps_operation", "operation_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id"))
    name: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[str]
    """`running`, `advanced`, `waiting`, `retry`, `failed`, or `interrupted` (its worker died or was stopped)."""
    detail: Mapped[str] = mapped_column(server_default="")
    error_code: Mapped[str | None]
    started_at: Mapped[datetime]
    deadline_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class OperationEvent(Base):
    """One line of an operation's live log. `data` is plain JSON and holds no secret."""

    __tablename__ = "operation_events"
    __table_args__ = (Index("ix_operation_events_operation", "operation_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id"))
    server_handle: Mapped[str]
    at: Mapped[datetime]
    kind: Mapped[str]
    """`operation`, `step`, `task` (one task of a playbook) or `note`."""
    step: Mapped[str] = mapped_column(server_default="")
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class CallState(StrEnum):
    """Where a call that changes a machine stands."""

    INTENDED = "intended"
    """Written before the call: it may or may not have been made."""
    SENT = "sent"
    """The provider took it; `task_id` names its task."""
    NOT_SENT = "not_sent"
    """Certainly not executed; it may be made again."""


class ProviderCall(Base):
    """The write-ahead row of a call that changes a machine: at most one per operation, action and round."""

    __tablename__ = "provider_calls"
    __table_args__ = (UniqueConstraint("operation_id", "action", "round"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id"))
    server_handle: Mapped[str]
    action: Mapped[str]
    round: Mapped[int]
    """1 for the first; a later one exists only where the one before was proved to have had no effect."""
    state: Mapped[str]
    task_id: Mapped[int | None]
    intended_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    """When its answer came, or was lost: until a while after that it may still arrive."""
