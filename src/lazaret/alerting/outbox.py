"""Writing to the outbox. Sending is another part's work; what is written here is never lost."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level, OutboxMessage


def notify_admins(
    session: AsyncSession,
    message: str,
    level: Level = Level.INFO,
    *,
    at: datetime,
    server_handle: str | None = None,
    operation_id: int | None = None,
    **data: Any,
) -> None:
    """Owe the administrators this message, from the moment at which the caller's transaction commits."""
    session.add(
        OutboxMessage(
            level=level.value,
            text=message,
            server_handle=server_handle,
            operation_id=operation_id,
            data=data,
            created_at=at,
        )
    )
