"""What has lost its object: questions of an operation that has ended, incidents of a server that nobody looks after.

Records only. Neither would be closed by anything else: there is no proof to wait for, and nobody to answer.
"""

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing import store
from lazaret.healing.model import Approval, Decision
from lazaret.incidents.model import OPEN, Incident, IncidentStatus, TimelineKind
from lazaret.incidents.store import change_incident, tell
from lazaret.kernel import audit
from lazaret.kernel.i18n import mark
from lazaret.operations.model import LIVE, Operation
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus

ITS_OPERATION_ENDED = "the end of its operation"
OUT_OF_CARE = (ServerStatus.RESERVED.value, ServerStatus.DECOMMISSIONED.value)
_LIVE = [status.value for status in LIVE]


async def close_moot(session: AsyncSession, *, at: datetime) -> None:
    """Close both, each with its reason."""
    await _close_questions(session, at=at)
    await _close_incidents(session, at=at)


async def _close_questions(session: AsyncSession, *, at: datetime) -> None:
    rows = await session.scalars(
        select(Approval)
        .join(Operation, Operation.id == Approval.operation_id)
        .where(Approval.decision.is_(None), Operation.status.not_in(_LIVE))
        .with_for_update(of=Approval, skip_locked=True)
    )
    for approval in rows:
        store.decide(approval, Decision.EXPIRED, ITS_OPERATION_ENDED, at=at)


async def _close_incidents(session: AsyncSession, *, at: datetime) -> None:
    busy = exists().where(Operation.server_handle == Incident.server_handle, Operation.status.in_(_LIVE))
    rows = await session.execute(
        select(Incident, Server.status)
        .join(Server, Server.handle == Incident.server_handle)
        .where(Incident.status.in_([status.value for status in OPEN]), Server.status.in_(OUT_OF_CARE), ~busy)
        .with_for_update(of=Incident, skip_locked=True)
    )
    text = mark("closed without proof: the server is {status}, so nobody looks after it any more")
    for incident, status in rows.all():
        tell(session, incident, TimelineKind.DECISION, text, at=at, status=status)
        await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.WORKER, at=at)
