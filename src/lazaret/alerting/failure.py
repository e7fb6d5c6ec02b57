"""Tells the administrators when an operation failed for good: wired to the runner, in the same transaction."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.operations.model import Operation, OperationKind


async def tell_failure(session: AsyncSession, operation: Operation, at: datetime) -> None:
    """One message with what failed and what to do."""
    if operation.kind == OperationKind.RECOVER:  # its own words say all
        text, level = f"{operation.error} {operation.hint or ''}", Level.CRITICAL
    else:
        start = f"{operation.kind} of {operation.server_handle} failed in the step {operation.step}:"
        text = f"{start} {operation.error} {operation.hint or ''}"
        level = Level.CRITICAL if operation.error_code == "host_key_changed" else Level.ERROR
    notify_admins(
        session,
        text.strip(),
        level,
        at=at,
        server_handle=operation.server_handle,
        operation_id=operation.id,
    )
