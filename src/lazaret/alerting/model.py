"""The outbox, written in the transaction of the change that it tells of; and who was told what, in which message."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class Level(StrEnum):
    """How much a message matters."""

    INFO = "info"
    """Good to know."""
    WARNING = "warning"
    """Look at it some time."""
    ERROR = "error"
    """Something failed."""
    CRITICAL = "critical"
    """Act now; never held back."""


class OutboxMessage(Base):
    """One message to all administrators. `sent_at`: when it was handed out to each of them; until then it is owed.

    `text` is a template in English, filled from `data`; it is what the catalogues translate.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_owed", "id", postgresql_where=text("sent_at is null")),)

    id: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[str]
    text: Mapped[str]
    server_handle: Mapped[str | None] = mapped_column(ForeignKey("servers.handle"))
    operation_id: Mapped[int | None] = mapped_column(ForeignKey("operations.id"))
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]


class DeliveryKind(StrEnum):
    """What one message in a chat is."""

    INCIDENT = "incident"
    """The one message of an incident, edited for as long as it goes on."""
    NOTE = "note"
    """A message of the outbox by itself."""
    REMINDER = "reminder"
    """Nobody has acknowledged, or a snooze is over: the same once more, so that it rings."""
    DIGEST = "digest"
    """Many messages told together; it grows in place."""


class DeliveryState(StrEnum):
    """How far telling one person has come."""

    OWED = "owed"
    SENT = "sent"
    """It has a message of its own."""
    DIGESTED = "digested"
    """It is told in a digest."""
    DROPPED = "dropped"
    """It was not told; `because` says why."""


class Delivery(Base):
    """One person is told one thing. Written before it is sent, so that a crash loses nothing."""

    __tablename__ = "deliveries"
    __table_args__ = (
        Index(
            "uq_deliveries_incident",
            "user_id",
            "incident_id",
            unique=True,
            postgresql_where=text("kind = 'incident'"),
        ),
        Index("uq_deliveries_outbox", "user_id", "outbox_id", "kind", "round", unique=True),
        Index("ix_deliveries_owed", "user_id", "id", postgresql_where=text("state = 'owed'")),
        Index("ix_deliveries_incident", "incident_id"),
        Index("ix_deliveries_digest", "digest_id"),
        Index("ix_deliveries_sent", "user_id", "sent_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str]
    incident_id: Mapped[int | None] = mapped_column(ForeignKey("incidents.id"))
    outbox_id: Mapped[int | None] = mapped_column(ForeignKey("outbox.id"))
    """The message that made it owed; None for a digest."""
    round: Mapped[int] = mapped_column(server_default="0")
    """Which reminder of the same message it is."""
    level: Mapped[str]
    state: Mapped[str]
    owed_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(server_default="0")
    sent_at: Mapped[datetime | None]
    chat_id: Mapped[int | None]
    message_id: Mapped[int | None]
    shown: Mapped[str] = mapped_column(server_default="")
    """Hash of what the message shows."""
    seen_timeline_id: Mapped[int] = mapped_column(server_default="0")
    """The newest line of the incident's timeline that the message knows."""
    edited_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    """It is not edited any more."""
    digest_id: Mapped[int | None] = mapped_column(ForeignKey("deliveries.id"))
    snoozed_until: Mapped[datetime | None]
    """This person wants no reminder of it until then; at that time it rings again."""
    because: Mapped[str] = mapped_column(server_default="")
