"""The tables of healing: every remedy that was begun, every approval that was asked for, every bundle of evidence."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class RemedyOutcome(StrEnum):
    """What became of one remedy."""

    BEGUN = "begun"
    """Its budget is spent; it runs, or its worker died and will look what became of it."""
    HELPED = "helped"
    """The probe that opened the incident proves that it is over."""
    NO_EFFECT = "no_effect"
    """It was done, and the probe still fails."""
    FAILED = "failed"
    """It could not be done."""
    NOT_NEEDED = "not_needed"
    """The server came back before anything was done."""


DONE = frozenset({RemedyOutcome.HELPED.value, RemedyOutcome.NO_EFFECT.value})
"""It was done, whatever came of it."""


class RemedyRun(Base):
    """One rung that was begun. Written before the act: this is the budget."""

    __tablename__ = "remedies"
    __table_args__ = (
        Index("ix_remedies_server", "server_handle", "begun_at"),
        Index("uq_remedies_rung", "operation_id", "rung", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id"))
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"))
    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"))
    rung: Mapped[int]
    """Position in the plan, from 0."""
    remedy: Mapped[str]
    because: Mapped[str] = mapped_column(server_default="")
    begun_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(server_default=RemedyOutcome.BEGUN.value)
    detail: Mapped[str] = mapped_column(server_default="")


class Decision(StrEnum):
    """What a person, or time, said to a question."""

    APPROVED = "approved"
    """Do it."""
    DENIED = "denied"
    """Do not."""
    EXPIRED = "expired"
    """Nobody answered in time, which is a no."""


class Approval(Base):
    """One question to the operators, answered once: may this be done to this server?

    A recovery asks for one of its rungs, and waits. A program or an agent asks with a `wish`, which becomes an
    operation when a person says yes, and nothing otherwise.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        CheckConstraint(
            "wish is not null or (operation_id is not null and incident_id is not null)", name="asks_for_something"
        ),
        Index(
            "uq_approvals_wish",
            "server_handle",
            unique=True,
            postgresql_where=text("decision is null and wish is not null"),
        ),
        Index("uq_approvals_rung", "operation_id", "rung", unique=True),
        Index("ix_approvals_open", "expires_at", postgresql_where=text("decision is null")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int | None] = mapped_column(ForeignKey("operations.id"))
    """The recovery that asks; of a wish, what it became."""
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"))
    rung: Mapped[int]
    remedy: Mapped[str]
    """A remedy, or what a wish is for: `provision`, `recover`."""
    wish: Mapped[dict[str, Any] | None]
    """`reason` and `reference` (the asker's own mark) of what a program wants."""
    asked_by: Mapped[str] = mapped_column(server_default="")
    """Who wishes it; empty: a recovery."""
    why: Mapped[str]
    """What the person reads before they decide."""
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decision: Mapped[str | None]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    note: Mapped[str] = mapped_column(server_default="")


class Evidence(Base):
    """One piece of what a server showed before a remedy could destroy it. `content` is text without secrets."""

    __tablename__ = "evidence"
    __table_args__ = (Index("ix_evidence_incident", "incident_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    incident_id: Mapped[int] = mapped_column(ForeignKey("incidents.id"))
    at: Mapped[datetime]
    name: Mapped[str]
    """`journal`, `dmesg`, `containers`, `disks`, ..."""
    content: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
