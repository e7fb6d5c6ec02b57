"""The audit log: who did what, append-only. The database itself refuses to change or delete a row."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.correlation import carried
from lazaret.kernel.database import Base, any_contains


class Channel(StrEnum):
    """The way by which an actor came."""

    API = "api"
    """HTTP with a bearer token."""
    CLI = "cli"
    """The command line on a machine of the operator's."""
    TELEGRAM = "telegram"
    """The bot."""
    DASHBOARD = "dashboard"
    """The web pages."""
    AGENT = "agent"
    """A tool for agents: MCP or LangChain."""
    SYSTEM = "system"
    """Lazaret itself: a loop, a worker."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a name that a person recognises, and the way they came."""

    name: str
    channel: Channel

    def __str__(self) -> str:
        return f"{self.channel}:{self.name}"


INVENTORY = Actor("inventory", Channel.SYSTEM)
WORKER = Actor("worker", Channel.SYSTEM)
MONITOR = Actor("monitor", Channel.SYSTEM)


class AuditEntry(Base):
    """One thing that was done. `subject` is what it was done to (`server:vps-1`)."""

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    channel: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    operation_id: Mapped[int | None]
    provider_task_id: Mapped[int | None]
    details: Mapped[dict[str, Any]]


def record(
    session: AsyncSession,
    actor: Actor,
    action: str,
    subject: str,
    *,
    at: datetime,
    operation_id: int | None = None,
    provider_task_id: int | None = None,
    **details: Any,
) -> None:
    """Write one entry in the caller's transaction. `details` are plain JSON and hold no secret.

    The id of the request for which this is done is among them.
    """
    session.add(
        AuditEntry(
            at=at,
            actor=actor.name,
            channel=actor.channel.value,
            action=action,
            subject=subject,
            operation_id=operation_id,
            provider_task_id=provider_task_id,
            details={**carried(), **details},
        )
    )


async def entries(session: AsyncSession, *, search: str = "", before: int = 0, limit: int = 100) -> list[AuditEntry]:
    """Newest first; `search` is looked for in actor, action and subject; `before` is the id to go on from."""
    statement = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if before:
        statement = statement.where(AuditEntry.id < before)
    if search:
        statement = statement.where(any_contains(search, AuditEntry.actor, AuditEntry.action, AuditEntry.subject))
    return list(await session.scalars(statement))
