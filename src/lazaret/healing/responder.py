"""What follows from a verdict: incidents opened and resolved, the server's status, the recovery; in one transaction.

Fulfils the monitor's `VerdictListener`. It records; the worker acts.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.outbox import notify_admins
from lazaret.healing.blindness import begin_blindness, end_blindness
from lazaret.healing.gate import window_over
from lazaret.healing.incidents_of import LOST_TYPES, WATCHED_TYPES, kind_of
from lazaret.healing.remedy import Remedy
from lazaret.healing.return_to_service import return_to_service
from lazaret.healing.store import remedies_for
from lazaret.healing.storms import weigh_storm
from lazaret.healing.trigger import trigger_recovery, withdraw_recovery
from lazaret.incidents.model import OPEN, UNPROVED, Incident, IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.out_of_service import SERVES_ON
from lazaret.incidents.store import change_incident, open_incident, open_of, tell
from lazaret.kernel import audit
from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.kernel.i18n import mark
from lazaret.kernel.metrics import DETECTION, HEALTH_CHECK_FAILURES, RECOVERY
from lazaret.operations.intents import Intents
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.store import live_operation
from lazaret.probing.rules import Rules
from lazaret.probing.symptoms import Expectations, services_down
from lazaret.probing.verdict import Condition, Phase, Verdict
from lazaret.probing.watcher import Watcher
from lazaret.servers import store as servers
from lazaret.servers.model import Server
from lazaret.servers.status import OPERATIONAL, Party, ServerStatus, StatusEvent
from lazaret.users.store import admins

NOBODY_TOLD = mark("nobody was told: no administrator is known in Telegram (TELEGRAM_ADMIN_IDS)")


class Responder:
    """Acts upon verdicts in the tables."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        intents: Intents,
        rules: Rules,
        *,
        has_services: Callable[[AsyncSession, str], Awaitable[bool]],
        expecting: Callable[[AsyncSession, str], Awaitable[Expectations]],
    ) -> None:
        self._has_services = has_services
        self._expecting = expecting
        self._db = db
        self._clock = clock
        self._intents = intents
        self._rules = rules

    async def on_verdict(self, watcher: Watcher, verdict: Verdict) -> None:
        """Open what is new, resolve what is proved to be over."""
        if verdict.phase not in {Phase.WELL, Phase.LOST}:
            return
        handle = watcher.server.handle
        services = sorted(watcher.server.expectations.services)
        now = self._clock.now()
        async with self._db.transaction() as session:
            live = await live_operation(session, handle, for_update=True)
            server = await servers.get_server(session, handle, for_update=True)
            present = present_in(verdict)
            if Condition.SERVICE_DOWN in present and await self._is_meant_to_be_down(session, watcher):
                present.remove(Condition.SERVICE_DOWN)
            if verdict.phase is Phase.WELL:
                await self._resolve(session, server, live, kept_open(verdict, present), now)
            if await self._stays_out(session, server, live, now):
                return
            if Condition.FIREWALL_OFF in present and await _we_flushed_it(session, live):
                present.remove(Condition.FIREWALL_OFF)
            for condition in present:
                await self._open(session, server, condition, verdict, present=present, services=services, now=now)

    async def on_blind(self, because: str) -> None:
        """One incident of the fleet and one message, for as long as a monitor cannot see."""
        now = self._clock.now()
        async with self._db.transaction() as session:
            if because:
                await begin_blindness(session, because, at=now)
            else:
                await end_blindness(session, at=now)

    async def _is_meant_to_be_down(self, session: AsyncSession, watcher: Watcher) -> bool:
        """Somebody stopped the service a moment ago, and the watcher still expects it to run."""
        full = watcher.reading.full if watcher.reading is not None else None
        return full is not None and not services_down(full, await self._expecting(session, watcher.server.handle))

    async def _stays_out(self, session: AsyncSession, server: Server, live: Operation | None, now: datetime) -> bool:
        """Whether somebody is at work on the server, so that trouble is no news."""
        if server.status not in {*OPERATIONAL, ServerStatus.ERROR}:
            return True
        if live is not None and live.kind != OperationKind.RECOVER and _is_at_work(live):
            return True
        return await window_over(session, server.handle, at=now) is not None

    async def _open(
        self,
        session: AsyncSession,
        server: Server,
        condition: Condition,
        verdict: Verdict,
        *,
        present: Collection[Condition],
        services: list[str],
        now: datetime,
    ) -> None:
        kind = kind_of(condition)
        known = await open_of(session, server.handle, kind.incident_type)
        if known is not None and known.cause in present:
            return  # one incident per kind: it is about what it was opened for, as long as that lasts
        was_left = known is not None and known.status == IncidentStatus.FAILED
        incident, is_new = await open_incident(
            session,
            server.handle,
            kind.incident_type,
            audit.MONITOR,
            at=now,
            began_at=verdict.began_at,
            cause=condition.value,
            affected_services=services,
        )
        if not is_new:
            if was_left and kind.incident_type not in LOST_TYPES:
                text = mark("it is {condition} now: {because}")
                tell(
                    session,
                    incident,
                    TimelineKind.OBSERVATION,
                    text,
                    at=now,
                    condition=condition,
                    because=verdict.because,
                )
                await trigger_recovery(session, self._intents, incident, at=now)
            return
        tell(
            session,
            incident,
            TimelineKind.OBSERVATION,
            "{condition}: {because}",
            at=now,
            condition=condition,
            because=verdict.because,
        )
        HEALTH_CHECK_FAILURES.labels(condition=condition.value).inc()
        DETECTION.observe((now - incident.began_at).total_seconds())
        if condition not in SERVES_ON and server.status in OPERATIONAL:
            servers.change_status(
                session,
                server,
                StatusEvent.LOST,
                Party.MONITOR,
                actor=audit.MONITOR,
                at=now,
                reason=f"{condition}: {verdict.because}",
            )
            await session.flush()
        storm = None
        if kind.incident_type is IncidentType.SERVER_UNREACHABLE:
            storm = await weigh_storm(session, server.handle, incident.id, self._rules, at=now)
        if storm is None:
            told = "the administrators were told" if await admins(session) else NOBODY_TOLD
            tell(session, incident, TimelineKind.MESSAGE, told, at=now)
            notify_admins(
                session,
                "{handle} ({address}): {cause}. {because} Services on it: {services}.",
                kind.level,
                at=now,
                server_handle=server.handle,
                incident_id=incident.id,
                handle=server.handle,
                address=server.public_ip,
                cause=incident.cause,
                because=verdict.because,
                services=", ".join(services) or "none",
            )
        await trigger_recovery(session, self._intents, incident, at=now)

    async def _resolve(
        self,
        session: AsyncSession,
        server: Server,
        live: Operation | None,
        present: set[IncidentType],
        now: datetime,
    ) -> None:
        """What the monitor opened and no longer sees is over, unless a recovery is just proving that."""
        rows = await session.scalars(
            select(Incident)
            .where(
                Incident.server_handle == server.handle,
                Incident.status.in_([status.value for status in OPEN]),
                Incident.incident_type.in_([t.value for t in WATCHED_TYPES - present]),
            )
            .order_by(Incident.id)
            .with_for_update()
        )
        for incident in rows:
            if incident.details.get(UNPROVED) and server.status not in OPERATIONAL:
                continue  # until a set-up succeeds, which says so by the status
            if not await withdraw_recovery(session, live, incident, at=now):
                continue
            tell(session, incident, TimelineKind.OBSERVATION, "it is over: seen by the monitor", at=now)
            await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.MONITOR, at=now)
            RECOVERY.observe((now - incident.detected_at).total_seconds())
            notify_admins(
                session,
                "{handle} is well again: {cause} is over.",
                at=now,
                server_handle=server.handle,
                incident_id=incident.id,
                handle=server.handle,
                cause=incident.cause,
            )
        await return_to_service(
            session,
            server,
            Party.MONITOR,
            audit.MONITOR,
            in_use=await self._has_services(session, server.handle),
            at=now,
            reason="seen well by the monitor",
        )


def _is_at_work(live: Operation) -> bool:
    """Whether trouble may be its doing, or end with it. What a hold puts off may wait for days, begun or not."""
    return live.started_at is not None and live.status != OperationStatus.WAITING


async def _we_flushed_it(session: AsyncSession, live: Operation | None) -> bool:
    """What a recovery did to the firewall is no drift while it is at work; what is so afterwards is seen again then."""
    if live is None or live.kind != OperationKind.RECOVER:
        return False
    begun = await remedies_for(session, int(live.params["incident_id"]))
    return any(row.remedy == Remedy.FLUSH_FIREWALL and row.operation_id == live.id for row in begun)


def kept_open(verdict: Verdict, present: Collection[Condition]) -> set[IncidentType]:
    """The types that are not over. What comes and goes stays one incident until it was quiet for a while."""
    types = {kind_of(condition).incident_type for condition in present}
    return types | LOST_TYPES if verdict.flapping else types


def present_in(verdict: Verdict) -> list[Condition]:
    """What is wrong: that nobody can log in hides all else, and Docker being down hides its containers."""
    if verdict.phase is Phase.LOST:
        return [verdict.condition] if verdict.condition is not None else []
    found = [symptom.condition for symptom in verdict.symptoms]
    if Condition.DOCKER_DOWN in found:
        found = [condition for condition in found if condition is not Condition.SERVICE_DOWN]
    return found
