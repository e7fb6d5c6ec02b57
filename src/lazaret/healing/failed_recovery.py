"""What a recovery that failed means for others, in the transaction that ends it: wired to the runner.

Whatever ended it (its own hand-over, a worker that crashed too often), its storm goes on without it, and the other
faces of the same loss go to the same person at the same moment.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.incidents_of import LOST_TYPES
from lazaret.healing.storms import note_canary
from lazaret.incidents.model import Incident, IncidentStatus, TimelineKind
from lazaret.incidents.store import change_incident, get_incident, tell
from lazaret.kernel import audit
from lazaret.kernel.i18n import mark
from lazaret.operations.model import Operation, OperationKind


async def follow_failed_recovery(session: AsyncSession, operation: Operation, at: datetime) -> None:
    """Fulfils the runner's `FailureListener`."""
    if operation.kind != OperationKind.RECOVER:
        return
    await note_canary(session, operation.server_handle, helped=False, at=at)
    incident = await get_incident(session, int(operation.params["incident_id"]))
    if incident.incident_type not in LOST_TYPES:
        return
    siblings = await session.scalars(
        select(Incident.id).where(
            Incident.server_handle == operation.server_handle,
            Incident.id != incident.id,
            Incident.status == IncidentStatus.DETECTED.value,
            Incident.incident_type.in_([kind.value for kind in LOST_TYPES]),
        )
    )
    for sibling_id in list(siblings):
        sibling = await change_incident(session, sibling_id, IncidentStatus.FAILED, audit.WORKER, at=at)
        text = mark("handed over with incident {incident_id}")
        tell(session, sibling, TimelineKind.DECISION, text, at=at, incident_id=incident.id)
