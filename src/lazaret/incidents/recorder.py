"""Opens an incident when an operation failed for good: wired to the runner, in the transaction that ends it."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.incidents.model import IncidentStatus, IncidentType
from lazaret.incidents.store import open_incident
from lazaret.kernel import audit
from lazaret.operations.model import Operation

TYPES = {"host_key_changed": IncidentType.HOST_KEY_CHANGED}
"""Error codes that are an incident of their own; all others are a failed provisioning."""


async def record_failure(session: AsyncSession, operation: Operation, at: datetime) -> None:
    """One open incident per server and type, with what failed and after how many attempts."""
    incident, _ = await open_incident(
        session,
        operation.server_handle,
        TYPES.get(operation.error_code or "", IncidentType.PROVISIONING_FAILED),
        audit.WORKER,
        at=at,
        status=IncidentStatus.FAILED,
        details={
            "operation_id": operation.id,
            "step": operation.step,
            "error_code": operation.error_code,
            "error": operation.error,
            "hint": operation.hint,
            "attempts": operation.attempt,
        },
    )
    incident.recovery_attempts += operation.attempt
