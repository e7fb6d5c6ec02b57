"""Tells the administrators when an operation failed for good: wired to the runner, in the same transaction."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.kernel.i18n import mark
from lazaret.operations.model import Operation, OperationKind


async def tell_failure(session: AsyncSession, operation: Operation, at: datetime) -> None:
    """One message with what failed and what to do."""
    if operation.kind == OperationKind.RECOVER:  # its own words say all
        text, level = mark("{error} {hint}"), Level.CRITICAL
    else:
        text = mark("{kind} of {handle} failed in the step {step}: {error} {hint}")
        level = Level.CRITICAL if operation.error_code == "host_key_changed" else Level.ERROR
    notify_admins(
        session,
        text,
        level,
        at=at,
        server_handle=operation.server_handle,
        operation_id=operation.id,
        incident_id=operation.params.get("incident_id"),
        kind=operation.kind,
        handle=operation.server_handle,
        step=operation.step,
        error=operation.error,
        hint=operation.hint or "",
    )
