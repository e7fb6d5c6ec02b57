"""The storm stop in the tables: one incident of the fleet per provider and storm, whose details are its state.

The decision is `storm.judge_storm`; here it is fed and remembered.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.healing.storm import StormState, judge_storm
from lazaret.incidents.model import OPEN, Incident, IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.store import (
    change_incident,
    get_incident,
    list_incidents,
    lock_fleet,
    open_incident,
    open_of,
    tell,
)
from lazaret.kernel import audit
from lazaret.kernel.i18n import mark
from lazaret.operations.model import OperationKind, OperationStatus
from lazaret.operations.store import live_operation
from lazaret.probing.model import ServerHealth
from lazaret.probing.rules import Rules
from lazaret.probing.verdict import Phase
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus
from lazaret.servers.store import get_server

MOST_STORMS = 100
"""One per provider."""
NOT_WELL = frozenset({Phase.UNJUDGED, Phase.SUSPECT, Phase.LOST, Phase.RETURNING})
JUST_PROVED = timedelta(seconds=60)
"""A server that no monitor has seen is unknown, but for the moment after it was proved from outside."""
COUNTED = (ServerStatus.READY, ServerStatus.IN_USE, ServerStatus.ERROR, ServerStatus.PROVISIONING)


async def weigh_storm(
    session: AsyncSession,
    handle: str,
    incident_id: int | None,
    rules: Rules,
    *,
    silent: Collection[str] = (),
    at: datetime,
) -> str | None:
    """Why no remedy may begin for this server because too many are unwell, or None. Remembers what it finds.

    `silent` are servers that were just seen not to answer.
    """
    server = await get_server(session, handle)
    await lock_fleet(session)
    unwell, total = await _count(session, server.provider, set(silent) | {handle}, at)
    fleet = await _storm_of(session, server.provider)
    before = await _state_of(session, fleet, handle, at) if fleet is not None else None
    after = judge_storm(len(unwell), total, before, at, rules)
    if after.released and fleet is not None:
        _remember(fleet, after)
        return None
    if not after.active:
        await _end(session, fleet, after, at)
        return None
    fleet = fleet or await _begin(session, server.provider, unwell, total, after, at=at)
    await _adopt(session, fleet, incident_id)
    if after.canary_allowed and after.canary in (None, handle):
        after = after.with_canary(handle)
        if before is None or before.canary != handle:
            tell(session, fleet, TimelineKind.DECISION, "{handle} goes first, as a canary", at=at, handle=handle)
    _remember(fleet, after)
    return None if after.canary == handle and after.canary_allowed else after.because


CANARY_WORDS = {
    True: mark("the canary {handle} came back: the others may follow"),
    False: mark("the canary {handle} did not come back: no remedy begins for now"),
}


async def note_canary(session: AsyncSession, handle: str, *, helped: bool, at: datetime) -> None:
    """The recovery of a server ended: were it a storm's canary, the storm goes by it."""
    server = await get_server(session, handle)
    await lock_fleet(session)
    fleet = await _storm_of(session, server.provider)
    if fleet is None:
        return
    state = StormState.from_json(fleet.details["storm"])
    if state.canary != handle:
        return
    after = state.after_canary(helped=helped, at=at)
    tell(session, fleet, TimelineKind.OBSERVATION, CANARY_WORDS[helped], at=at, handle=handle)
    _remember(fleet, after)


async def end_storms_if_over(session: AsyncSession, rules: Rules, *, at: datetime) -> None:
    """Look at each open storm again: its servers may have come back by themselves."""
    await lock_fleet(session)
    storms, _ = await list_incidents(
        session, statuses=sorted(OPEN), incident_type=IncidentType.MANY_SERVERS_LOST, limit=MOST_STORMS
    )
    for fleet in storms:
        unwell, total = await _count(session, fleet.provider, set(), at)
        before = await _state_of(session, fleet, None, at)
        after = judge_storm(len(unwell), total, before, at, rules)
        if after.active or after.released:
            _remember(fleet, after)
        else:
            await _end(session, fleet, after, at)


async def _storm_of(session: AsyncSession, provider: str) -> Incident | None:
    return await open_of(session, None, IncidentType.MANY_SERVERS_LOST, provider=provider)


GONE_WORDS = {
    True: mark("the recovery of the canary {handle} waits: another may go after a quiet time"),
    False: mark("the recovery of the canary {handle} ended without proof: another may go after a quiet time"),
}


async def _state_of(session: AsyncSession, fleet: Incident, handle: str | None, at: datetime) -> StormState:
    """What is remembered of a storm. A canary that nobody is at work on any more holds the others back no longer.

    Nor does one whose recovery waits: for a password, for the end of a hold. As with the room that recoveries take.
    """
    state = StormState.from_json(fleet.details["storm"])
    if state.canary is None or state.canary == handle:
        return state
    live = await live_operation(session, state.canary)
    is_recovered = live is not None and live.kind == OperationKind.RECOVER
    waits = live is not None and is_recovered and live.status == OperationStatus.WAITING
    if is_recovered and not waits:
        return state
    tell(session, fleet, TimelineKind.DECISION, GONE_WORDS[waits], at=at, handle=state.canary)
    return state.without_canary(at, waits=waits)


async def _count(session: AsyncSession, provider: str, known_unwell: set[str], at: datetime) -> tuple[set[str], int]:
    """Handles of the unwell among the servers of a provider that are set up, and the number of all."""
    rows = await session.execute(
        select(Server.handle, Server.status, Server.provisioned_at, ServerHealth.phase)
        .outerjoin(ServerHealth, ServerHealth.server_handle == Server.handle)
        .where(
            Server.provider == provider,
            Server.is_managed,
            Server.provisioned_at.is_not(None),
            Server.status.in_([status.value for status in COUNTED]),
        )
    )
    everybody, unwell = set(), set()
    for handle, status, proved_at, phase in rows:
        everybody.add(handle)
        is_unknown = phase is None and at - proved_at > JUST_PROVED
        if status in {ServerStatus.ERROR, ServerStatus.PROVISIONING} or is_unknown or phase in NOT_WELL:
            unwell.add(handle)
    return unwell | (known_unwell & everybody), len(everybody)


async def _begin(
    session: AsyncSession, provider: str, unwell: Collection[str], total: int, state: StormState, *, at: datetime
) -> Incident:
    fleet, _ = await open_incident(
        session,
        None,
        IncidentType.MANY_SERVERS_LOST,
        audit.WORKER,
        at=at,
        cause="storm",
        provider=provider,
        details={"storm": state.as_json(), "provider": provider, "unwell": sorted(unwell), "total": total},
    )
    tell(session, fleet, TimelineKind.DECISION, state.because, at=at)
    names = ", ".join(sorted(unwell)[:10])
    notify_admins(
        session,
        "{unwell} of {total} servers are unwell at once ({names}). One cause is likely, so no remedy begins: {because}",
        Level.CRITICAL,
        at=at,
        incident_id=fleet.id,
        unwell=len(unwell),
        total=total,
        names=names,
        because=state.because,
    )
    return fleet


async def _adopt(session: AsyncSession, fleet: Incident, incident_id: int | None) -> None:
    if incident_id is None:
        return
    child = await get_incident(session, incident_id)
    if child.parent_id is None:
        child.parent_id = fleet.id


async def _end(session: AsyncSession, fleet: Incident | None, state: StormState, at: datetime) -> None:
    if fleet is None:
        return
    _remember(fleet, state)
    tell(session, fleet, TimelineKind.DECISION, state.because, at=at)
    await change_incident(session, fleet.id, IncidentStatus.RESOLVED, audit.WORKER, at=at)
    notify_admins(
        session, "The storm is over: {because}", Level.INFO, at=at, incident_id=fleet.id, because=state.because
    )


def _remember(fleet: Incident, state: StormState) -> None:
    fleet.details = {**fleet.details, "storm": state.as_json()}
