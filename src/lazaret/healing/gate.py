"""What may hold a recovery back: holds and windows, the storm stop, budgets. Every no has its reason and a time.

Reads tables and knocks at neighbours; the decisions themselves are pure and stand in `storm` and `budget`.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing import store
from lazaret.healing.budget import Blocked, Spent, may_begin
from lazaret.healing.context import HealingContext
from lazaret.healing.remedy import Remedy
from lazaret.healing.storms import weigh_storm
from lazaret.incidents.model import IncidentType
from lazaret.incidents.store import open_of
from lazaret.kernel.clock import Clock
from lazaret.servers import store as servers
from lazaret.servers.access import PortState, RemoteAccess
from lazaret.servers.guard import TouchRefused
from lazaret.servers.model import MaintenanceWindow, Server
from lazaret.servers.status import ServerStatus

NEIGHBOURS = 40
"""At most so many other servers are knocked at before a remedy begins."""
KNOCK_S = 2.0


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Why nothing is done now, and until when at least (None: until somebody changes it)."""

    because: str
    until: datetime | None = None
    for_a_person: bool = False
    """Nothing that comes soon will change it: waiting would only keep a person from being told."""


async def held_back(ctx: HealingContext, remedy: Remedy) -> HeldBack | None:
    """The first reason not to begin this remedy now, or None."""
    if (reason := await hands_off(ctx)) is not None:
        return reason
    silent = await _silent_neighbours(ctx)
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, _):
        storm = await weigh_storm(session, ctx.run.handle, ctx.incident_id, ctx.parts.rules, silent=silent, at=now)
        if storm is not None:
            return HeldBack(storm)
        return await _over_budget(ctx, session, remedy, now)


async def hands_off(ctx: HealingContext) -> HeldBack | None:
    """What keeps everybody from the server, whatever is to be done: people, our own blindness, the operator's list."""
    async with ctx.run.db.transaction() as session:
        return await _forbidden(ctx, session)


async def held_back_from_putting_back(ctx: HealingContext) -> HeldBack | None:
    """The same for what a recovery took away itself: people hold it back, and others at work; no storm, no budget."""
    async with ctx.run.db.transaction() as session:
        reason = await _forbidden(ctx, session)
        in_flight = await store.recoveries_in_flight(session, except_operation=ctx.run.operation_id)
    if reason is None and in_flight >= ctx.parts.limits.in_flight:
        return HeldBack(f"{in_flight} recoveries are at work, which is the limit.")
    return reason


async def _forbidden(ctx: HealingContext, session: AsyncSession) -> HeldBack | None:
    now = ctx.run.clock.now()
    server = await servers.get_server(session, ctx.run.handle)
    holds = await servers.holds_on(session, ctx.run.handle, at=now)
    if holds:
        ends = [hold.expires_at for hold in holds]
        until = None if None in ends else max(end for end in ends if end is not None)
        who = "; ".join(f"{hold.owner}: {hold.reason}" for hold in holds)
        return HeldBack(f"on hold ({who})", until)
    if server.status == ServerStatus.MAINTENANCE:
        return HeldBack("the server is in maintenance")
    blind = await open_of(session, None, IncidentType.OBSERVER_BLIND)
    if blind is not None:
        return HeldBack(f"the monitor cannot see (incident {blind.id}), so nothing that is seen is believed")
    window = await window_over(session, ctx.run.handle, at=now)
    if window is not None:
        return HeldBack(
            f"maintenance window until {window.ends_at:%Y-%m-%d %H:%M} UTC: {window.reason}", window.ends_at
        )
    try:
        ctx.parts.provisioning.permissions.require_touchable(servers.target_of(server))
    except TouchRefused as refused:
        return HeldBack(refused.message, for_a_person=True)
    return None


async def window_over(session: AsyncSession, handle: str, *, at: datetime) -> MaintenanceWindow | None:
    """The maintenance window that covers this server now, if any."""
    found: MaintenanceWindow | None = await session.scalar(
        select(MaintenanceWindow)
        .where(
            or_(MaintenanceWindow.server_handle == handle, MaintenanceWindow.server_handle.is_(None)),
            MaintenanceWindow.cancelled_at.is_(None),
            MaintenanceWindow.starts_at <= at,
            MaintenanceWindow.ends_at > at,
        )
        .order_by(MaintenanceWindow.ends_at.desc())
        .limit(1)
    )
    return found


async def _silent_neighbours(ctx: HealingContext) -> set[str]:
    """Other servers of the same provider that do not answer right now, whatever the monitor knows by now.

    Eight servers that lose power together are confirmed one after the other; the first must not be judged alone.
    """
    async with ctx.run.db.transaction() as session:
        here = await servers.get_server(session, ctx.run.handle)
        rows = await session.execute(
            select(Server.handle, Server.public_ip, Server.ssh_port)
            .where(
                Server.provider == here.provider,
                Server.handle != here.handle,
                Server.is_managed,
                Server.provisioned_at.is_not(None),
                Server.public_ip.is_not(None),
                Server.status.in_([ServerStatus.READY.value, ServerStatus.IN_USE.value, ServerStatus.ERROR.value]),
            )
            .limit(NEIGHBOURS)
        )
        neighbours = [(handle, address or "", port) for handle, address, port in rows]
    return await silent_among(ctx.parts.provisioning.access, ctx.run.clock, neighbours)


async def silent_among(access: RemoteAccess, clock: Clock, places: list[tuple[str, str, int]]) -> set[str]:
    """Which of these places do not take a TCP connection, asked twice: a lost packet is no lost server."""
    suspects = dict.fromkeys(handle for handle, _, _ in places)
    for attempt in range(2):
        asked = [place for place in places if place[0] in suspects]
        if attempt and asked:
            await clock.sleep(0.5)
        states = await asyncio.gather(*(access.probe_port(ip, port, timeout_s=KNOCK_S) for _, ip, port in asked))
        suspects = {
            handle: None for (handle, _, _), state in zip(asked, states, strict=True) if state is not PortState.OPEN
        }
    return set(suspects)


async def _over_budget(ctx: HealingContext, session: AsyncSession, remedy: Remedy, now: datetime) -> HeldBack | None:
    rows = await store.remedies_on(session, ctx.run.handle, since=now - store.BUDGET_DAY)
    spent = [
        Spent(Remedy(row.remedy), row.server_handle, row.begun_at, row.outcome)
        for row in rows
        if row.operation_id != ctx.run.operation_id or row.ended_at is not None
    ]
    in_flight = await store.recoveries_in_flight(session, except_operation=ctx.run.operation_id)
    answer = may_begin(remedy, spent, in_flight, now, ctx.parts.limits)
    return HeldBack(answer.because, answer.until, answer.exhausted) if isinstance(answer, Blocked) else None
