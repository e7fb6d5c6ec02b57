"""The outbox: messages for people, written in the transaction of the change that they tell of."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey
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
    """One message to all administrators. `sent_at` is set by the sender; until then it is owed."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[str]
    text: Mapped[str]
    server_handle: Mapped[str | None] = mapped_column(ForeignKey("servers.handle"))
    operation_id: Mapped[int | None] = mapped_column(ForeignKey("operations.id"))
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
