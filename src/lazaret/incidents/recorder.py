"""Opens an incident when an operation failed for good: wired to the runner, in the transaction that ends it."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.incidents.model import IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.store import change_incident, get_incident, open_incident, tell
from lazaret.kernel import audit
from lazaret.operations.model import Operation, OperationKind
from lazaret.servers.status import OPERATIONAL, ServerStatus
from lazaret.servers.store import get_server

TYPES = {"host_key_changed": IncidentType.HOST_KEY_CHANGED}
"""Error codes that are an incident of their own; all others are a failed provisioning."""


async def record_failure(session: AsyncSession, operation: Operation, at: datetime) -> None:
    """One open incident per server and type, with what failed and after how many attempts.

    A recovery that failed leaves its own incident to a person. What failed before it touched a server in service (the
    provider was away, the wanted system is not offered) is none: it serves on, and the message says what to do.
    """
    if operation.kind == OperationKind.RECOVER:
        await _leave_to_a_person(session, operation, at)
        return
    if operation.kind == OperationKind.DEPLOY:
        return  # what should run and does not is the monitor's to see; the deployment itself says what went wrong
    incident_type = TYPES.get(operation.error_code or "", IncidentType.PROVISIONING_FAILED)
    if incident_type is IncidentType.PROVISIONING_FAILED and await _serves_on(session, operation):
        return
    incident, _ = await open_incident(
        session,
        operation.server_handle,
        incident_type,
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


async def _serves_on(session: AsyncSession, operation: Operation) -> bool:
    """Whether the server is still in service: setting up takes it out before anything is done to it."""
    return ServerStatus((await get_server(session, operation.server_handle)).status) in OPERATIONAL


async def _leave_to_a_person(session: AsyncSession, operation: Operation, at: datetime) -> None:
    incident = await get_incident(session, int(operation.params["incident_id"]), for_update=True)
    if incident.status == IncidentStatus.RESOLVED:
        return
    tell(session, incident, TimelineKind.DECISION, "handed over to a person: {error}", at=at, error=operation.error)
    details = {"operation_id": operation.id, "error": operation.error, "hint": operation.hint}
    await change_incident(session, incident.id, IncidentStatus.FAILED, audit.WORKER, at=at, details=details)
