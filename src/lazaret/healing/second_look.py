"""What was told once and could not be acted upon then: the monitor's verdicts held against the tables, ever again.

A verdict is told when it changes. A server that is lost during a deployment or a maintenance window stays lost when
that ends, without a change; one that came back while its recovery ran stays well when that recovery fails. Neither
may be forgotten.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.incidents_of import WATCHED_TYPES, kind_of
from lazaret.healing.responder import Responder, kept_open, present_in
from lazaret.incidents.model import OPEN, Incident, IncidentStatus, IncidentType
from lazaret.kernel.database import Database
from lazaret.operations.model import Operation
from lazaret.probing.monitor import Monitor
from lazaret.probing.verdict import Condition, Phase, Verdict
from lazaret.probing.watcher import Watcher

SECOND_LOOK_S = 5.0
"""Between two comparisons."""
LOOK_LASTS = timedelta(seconds=5)
"""A look that found nobody began at most so long before it is noted."""


async def look_again(db: Database, monitor: Monitor, responder: Responder) -> list[str]:
    """One comparison; tells the responder again of those whose incidents do not say what is seen. Returns them."""
    if monitor.blind:
        return []
    watchers = dict(monitor.watchers)
    async with db.transaction() as session:
        recorded = await _recorded(session)
        candidates = [handle for handle in watchers if handle in recorded or _is_troubled(watchers[handle])]
        ended = await _last_operations(session, candidates)
        proved = await _last_proofs(session, candidates)
    again = []
    for handle in candidates:
        watcher, verdict = watchers[handle], watchers[handle].verdict
        if not monitor.was_told(handle, verdict):
            continue  # its change is being judged right now
        if differs(verdict, recorded.get(handle, set())) and _is_fresh(
            watcher, verdict, ended.get(handle), proved.get(handle)
        ):
            await responder.on_verdict(watcher, verdict)
            again.append(handle)
    return again


def differs(verdict: Verdict, recorded: Collection[IncidentType]) -> bool:
    """Whether an incident is missing for what is seen, or open for what is over."""
    if verdict.phase not in {Phase.WELL, Phase.LOST}:
        return False
    conditions = present_in(verdict)
    is_missing = not {kind_of(condition).incident_type for condition in conditions} <= set(recorded)
    return is_missing or (verdict.phase is Phase.WELL and not set(recorded) <= kept_open(verdict, conditions))


def _is_troubled(watcher: Watcher) -> bool:
    return watcher.watch.lost is not None or bool(watcher.watch.symptoms)


def _is_fresh(
    watcher: Watcher, verdict: Verdict, operation_ended_at: datetime | None, proved_at: datetime | None
) -> bool:
    """Whether this was seen after the last operation ended, which may have caused or mended it.

    A worker may prove a come-back before the monitor sees it, and its operation ends a moment after its incident: a
    loss counts only by a look that was begun after the proof.
    """
    if verdict.phase is Phase.LOST:
        seen_at = watcher.watch.bad[-1].at if watcher.watch.bad else None
        if seen_at is not None and proved_at is not None and seen_at <= proved_at + LOOK_LASTS:
            return False
    else:
        seen_at = watcher.reading.at if watcher.reading is not None else None
        going: set[Condition] = {condition for condition, _ in watcher.watch.clearing}
        if going.intersection(present_in(verdict)):
            return False
    return seen_at is not None and (operation_ended_at is None or seen_at > operation_ended_at)


async def _recorded(session: AsyncSession) -> Mapping[str, set[IncidentType]]:
    """The open incidents that a monitor opens and ends, by server."""
    rows = await session.execute(
        select(Incident.server_handle, Incident.incident_type).where(
            Incident.server_handle.is_not(None),
            Incident.status.in_([status.value for status in OPEN]),
            Incident.incident_type.in_([known.value for known in WATCHED_TYPES]),
        )
    )
    found: dict[str, set[IncidentType]] = {}
    for handle, kind in rows:
        found.setdefault(str(handle), set()).add(IncidentType(kind))
    return found


async def _last_operations(session: AsyncSession, handles: Collection[str]) -> Mapping[str, datetime]:
    """When the newest operation of each server ended."""
    rows = await session.execute(
        select(Operation.server_handle, func.max(Operation.finished_at))
        .where(Operation.server_handle.in_(handles), Operation.finished_at.is_not(None))
        .group_by(Operation.server_handle)
    )
    return {handle: at for handle, at in rows if at is not None}


async def _last_proofs(session: AsyncSession, handles: Collection[str]) -> Mapping[str, datetime]:
    """When the newest incident of each server was resolved, which takes a proof."""
    rows = await session.execute(
        select(Incident.server_handle, func.max(Incident.resolved_at))
        .where(Incident.server_handle.in_(handles), Incident.status == IncidentStatus.RESOLVED.value)
        .group_by(Incident.server_handle)
    )
    return {str(handle): at for handle, at in rows if at is not None}
