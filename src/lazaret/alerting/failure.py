"""Tells the administrators when an operation failed for good: wired to the runner, in the same transaction."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.operations.model import Operation


async def tell_failure(session: AsyncSession, operation: Operation, at: datetime) -> None:
    """One message with what failed and what to do."""
    level = Level.CRITICAL if operation.error_code == "host_key_changed" else Level.ERROR
    notify_admins(
        session,
        f"{operation.kind} of {operation.server_handle} failed in the step {operation.step}: "
        f"{operation.error} {operation.hint or ''}".strip(),
        level,
        at=at,
        server_handle=operation.server_handle,
        operation_id=operation.id,
    )
