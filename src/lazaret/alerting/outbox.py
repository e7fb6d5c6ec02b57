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
    incident_id: int | None = None,
    **data: Any,
) -> None:
    """Owe the administrators this message, from the moment at which the caller's transaction commits.

    `message` is a template in English with its values in `data` (`"{handle} is ready."`), so that it can be translated.
    """
    message.format(**data)  # a message that cannot be written must fail here, not at night in the bot
    session.add(
        OutboxMessage(
            level=level.value,
            text=message,
            server_handle=server_handle,
            operation_id=operation_id,
            incident_id=incident_id,
            data=data,
            created_at=at,
        )
    )
