"""Beginning and withdrawing a recovery, in the transaction of its incident. Records intents; touches no machine."""

from datetime import datetime

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.blindness import end_blindness_of_the_dead
from lazaret.healing.incidents_of import WATCHED_TYPES
from lazaret.healing.model import DONE
from lazaret.healing.moot import close_moot
from lazaret.healing.store import remedies_for
from lazaret.healing.storms import end_storms_if_over
from lazaret.incidents.model import Incident, IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.store import change_incident, get_incident, newest_of, open_of, tell
from lazaret.kernel import audit
from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.i18n import mark
from lazaret.operations.intents import PRIORITY_RECOVERY, Intent, Intents, end_cancelled
from lazaret.operations.model import LIVE, Operation, OperationKind, OperationStatus
from lazaret.operations.store import add_event, live_operation
from lazaret.probing.rules import Rules

MOST_ATTEMPTS = 30
"""A recovery is bounded by its ladder and budgets; this only ends one that cannot get on at all."""
PUTS_BACK = "restore"
"""The step of a recovery in which it brings back what ran there, and what it took away itself."""
MOST_PURSUED = 1000
"""Incidents that one pass looks at."""
HEALED = (IncidentStatus.DETECTED.value, IncidentStatus.RECOVERING.value)


async def trigger_recovery(
    session: AsyncSession,
    intents: Intents,
    incident: Incident,
    *,
    at: datetime,
    actor: audit.Actor = audit.MONITOR,
) -> Operation | None:
    """Record the recovery of an incident's server; None where something forbids it, with the reason in the timeline."""
    assert incident.server_handle is not None
    stranger = await _security_incident(session, incident)
    if stranger is not None:
        text = mark(
            "no recovery begins: incident {other_id} says that another machine may be answering. A person first."
        )
        await _say_once(session, incident, text, at=at, other_id=stranger)
        return None
    intent = Intent(
        OperationKind.RECOVER,
        actor,
        f"incident {incident.id}: {incident.cause}",
        priority=PRIORITY_RECOVERY + (5 if incident.affected_services else 0),
        params={"incident_id": incident.id, "is_incident_recovery": True},
        max_attempts=MOST_ATTEMPTS,
    )
    try:
        operation = await intents.recover(session, incident.server_handle, intent, at=at)
    except LazaretError as error:
        await _say_once(session, incident, mark("no recovery begins: {because}"), at=at, because=error.message)
        return None
    tell(
        session,
        incident,
        TimelineKind.DECISION,
        "recovery {operation_id} is to begin",
        at=at,
        operation_id=operation.id,
    )
    return operation


async def _security_incident(session: AsyncSession, incident: Incident) -> int | None:
    """Another incident that left the same server to a person because its host key changed."""
    found = await open_of(session, incident.server_handle, IncidentType.HOST_KEY_CHANGED)
    is_another = found is not None and found.id != incident.id and found.status == IncidentStatus.FAILED
    return found.id if found is not None and is_another else None


async def withdraw_recovery(session: AsyncSession, live: Operation | None, incident: Incident, *, at: datetime) -> bool:
    """The incident is over: cancel its recovery if nothing of it was begun. False when one is at work and will say so.

    `live` is the server's live operation, locked.
    """
    if live is None or live.kind != OperationKind.RECOVER or live.params.get("incident_id") != incident.id:
        return True
    remedies = await remedies_for(session, incident.id)
    begun = [row for row in remedies if row.ended_at is None]
    if live.step == PUTS_BACK and any(row.operation_id == live.id and row.outcome in DONE for row in remedies):
        return False  # what it took away waits to be put back
    if live.status == OperationStatus.RUNNING or begun:
        if live.status == OperationStatus.WAITING:
            live.waiting_until = at  # it looks at once
        return False
    await end_cancelled(session, live, audit.MONITOR, at=at)
    await add_event(session, live, "operation", "cancelled: the server came back by itself", at=at)
    tell(
        session,
        incident,
        TimelineKind.DECISION,
        "recovery {operation_id} is cancelled: nothing was begun",
        at=at,
        operation_id=live.id,
    )
    return True


class Pursuit:
    """Sees to it that no open incident is forgotten: what was forbidden when it was opened may be allowed now."""

    def __init__(self, db: Database, clock: Clock, intents: Intents, rules: Rules) -> None:
        self._rules = rules
        self._db = db
        self._clock = clock
        self._intents = intents

    async def pursue(self) -> int:
        """One pass; returns the number of recoveries that were begun."""
        async with self._db.transaction() as session:
            await end_storms_if_over(session, self._rules, at=self._clock.now())
            await end_blindness_of_the_dead(session, at=self._clock.now())
            await close_moot(session, at=self._clock.now())
            candidates = [incident_id for (incident_id,) in await session.execute(_unattended())]
        begun = 0
        for incident_id in candidates:
            begun += await self._pursue_one(incident_id)
        return begun

    async def _pursue_one(self, incident_id: int) -> bool:
        now = self._clock.now()
        async with self._db.transaction() as session:
            incident = await get_incident(session, incident_id)
            assert incident.server_handle is not None
            if await live_operation(session, incident.server_handle, for_update=True) is not None:
                return False
            incident = await get_incident(session, incident_id, for_update=True)
            if incident.status == IncidentStatus.RECOVERING:
                text = mark("its recovery ended without proof: left to a person")
                tell(session, incident, TimelineKind.DECISION, text, at=now)
                await change_incident(session, incident_id, IncidentStatus.FAILED, audit.WORKER, at=now)
                return False
            if incident.status != IncidentStatus.DETECTED:
                return False
            return await trigger_recovery(session, self._intents, incident, at=now, actor=audit.WORKER) is not None


async def begins_by_itself(session: AsyncSession, handle: str) -> bool:
    """Whether an incident of this server is only waiting for what holds its recovery back."""
    return await session.scalar(_unattended().where(Incident.server_handle == handle).limit(1)) is not None


def _unattended() -> Select[int]:
    """Open incidents of servers without a live operation, oldest first; one that somebody cancelled stays with them."""
    busy = exists().where(
        Operation.server_handle == Incident.server_handle,
        Operation.status.in_([status.value for status in LIVE]),
    )
    was_recovered = exists().where(
        Operation.kind == OperationKind.RECOVER.value,
        Operation.server_handle == Incident.server_handle,
        Operation.params["incident_id"].as_integer() == Incident.id,
    )
    return (
        select(Incident.id)
        .where(
            Incident.server_handle.is_not(None),
            Incident.status.in_(HEALED),
            Incident.incident_type.in_([known.value for known in WATCHED_TYPES]),
            ~busy,
            or_(Incident.status == IncidentStatus.RECOVERING.value, ~was_recovered),
        )
        .order_by(Incident.id)
        .limit(MOST_PURSUED)
    )


async def _say_once(session: AsyncSession, incident: Incident, message: str, *, at: datetime, **values: object) -> None:
    newest = await newest_of(session, incident.id, limit=1)
    if not newest or newest[0].message != message.format(**values):
        tell(session, incident, TimelineKind.DECISION, message, at=at, **values)
