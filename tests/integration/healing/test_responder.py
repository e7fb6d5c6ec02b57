"""What follows from a verdict, on real tables and without machines: one incident per kind, and none forgotten."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from lazaret.alerting.model import OutboxMessage
from lazaret.entrypoints.office import Office
from lazaret.healing.failed_recovery import follow_failed_recovery
from lazaret.healing.model import Approval, RemedyRun
from lazaret.healing.requests import hold, lift
from lazaret.healing.responder import Responder
from lazaret.healing.return_to_service import return_to_service
from lazaret.healing.second_look import LOOK_LASTS, look_again
from lazaret.healing.store import get_approval, list_approvals
from lazaret.healing.storms import weigh_storm
from lazaret.healing.trigger import Pursuit
from lazaret.incidents.model import Incident, IncidentStatus, IncidentType
from lazaret.incidents.recorder import record_failure
from lazaret.incidents.store import change_incident, open_incident, open_of, timeline_of
from lazaret.kernel import audit
from lazaret.kernel.clock import ManualClock
from lazaret.operations.intents import Intent, end_cancelled
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.outcome import HELD_BACK
from lazaret.operations.store import finish, get_operation, live_operation
from lazaret.probing.model import Monitor, ServerHealth
from lazaret.probing.rules import Rules
from lazaret.probing.symptoms import Condition, Expectations, Symptom
from lazaret.probing.verdict import Phase, Verdict
from lazaret.servers.status import Party, ServerStatus, StatusEvent
from lazaret.servers.store import change_status, get_server
from tests.integration.rows import add_server

PERSON = audit.Actor("tester", audit.Channel.CLI)
RULES = Rules()
ONE, TWO, THREE = "vps-1", "vps-2", "vps-3"


class Ward:
    """Servers in the tables, and verdicts on them by hand."""

    def __init__(self, office: Office) -> None:
        self.office, self.clock = office, ManualClock()

        async def has_services(_: object, __: str) -> bool:
            return False

        async def expecting(_: object, __: str) -> Expectations:
            return Expectations()

        self.responder = Responder(
            office.db, self.clock, office.intents, RULES, has_services=has_services, expecting=expecting
        )
        self.pursuit = Pursuit(office.db, self.clock, office.intents, RULES)

    async def servers(self, *handles: str) -> None:
        now = self.clock.now()
        async with self.office.db.transaction() as session:
            session.add(Monitor(id="m", vantage="main", started_at=now, seen_at=now + timedelta(days=1)))
            for handle in handles:
                await add_server(session, handle, at=now)
                await session.flush()
                session.add(ServerHealth(server_handle=handle, monitor="m", phase="well", since=now, updated_at=now))

    async def sees(self, handle: str, verdict: Verdict) -> None:
        watcher = SimpleNamespace(server=SimpleNamespace(handle=handle, expectations=Expectations()), reading=None)
        await self.responder.on_verdict(watcher, verdict)  # type: ignore[arg-type]
        self.clock.advance(1)

    async def incidents(self, handle: str = ONE) -> list[Incident]:
        async with self.office.db.transaction() as session:
            rows = await session.scalars(select(Incident).where(Incident.server_handle == handle).order_by(Incident.id))
            return list(rows)

    async def storm(self) -> Incident:
        async with self.office.db.transaction() as session:
            found = await open_of(session, None, IncidentType.MANY_SERVERS_LOST, provider="time4vps")
            assert found is not None
            return found

    async def live(self, handle: str = ONE) -> Operation | None:
        async with self.office.db.transaction() as session:
            return await live_operation(session, handle)

    async def recovery_fails(self, handle: str = ONE) -> None:
        """As the runner ends it, in one transaction."""
        now = self.clock.now()
        async with self.office.db.transaction() as session:
            live = await live_operation(session, handle, for_update=True)
            assert live is not None
            finish(live, OperationStatus.FAILED, at=now, error="no way")
            await record_failure(session, live, now)
            await follow_failed_recovery(session, live, now)

    async def story(self, incident_id: int) -> str:
        async with self.office.db.transaction() as session:
            return "\n".join(line.message for line in await timeline_of(session, incident_id))

    async def messages(self) -> list[str]:
        async with self.office.db.transaction() as session:
            rows = await session.scalars(select(OutboxMessage).order_by(OutboxMessage.id))
            return [row.text.format(**row.data) for row in rows]


@pytest.fixture
async def ward(office: Office) -> Ward:
    # The office manages 900001 to 900003.
    made = Ward(office)
    await made.servers(ONE, TWO, THREE)
    return made


def lost(condition: Condition = Condition.SILENT, *, flapping: bool = False) -> Verdict:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    return Verdict(Phase.LOST, condition, (), "Fresh looks failed.", began, flapping)


def well(*conditions: Condition, flapping: bool = False) -> Verdict:
    symptoms = tuple(Symptom(condition, f"{condition}.") for condition in conditions)
    return Verdict(Phase.WELL, None, symptoms, "It answers.", None, flapping)


async def test_a_full_disk_is_treated_although_memory_is_short_as_well(ward: Ward) -> None:
    """Both are one kind of incident; only for one of them is there a remedy."""
    await ward.sees(ONE, well(Condition.DISK_FULL, Condition.MEMORY_EXHAUSTED))
    (incident,) = await ward.incidents()
    assert incident.cause == Condition.DISK_FULL


async def test_a_full_disk_after_a_memory_incident_that_a_person_has_is_treated(ward: Ward) -> None:
    await ward.sees(ONE, well(Condition.MEMORY_EXHAUSTED))
    await ward.recovery_fails()
    assert await ward.live() is None
    await ward.sees(ONE, well(Condition.MEMORY_EXHAUSTED))
    assert await ward.live() is None, "what a person has is theirs"
    await ward.sees(ONE, well(Condition.DISK_FULL))
    live = await ward.live()
    assert live is not None and live.kind == "recover"


async def test_nothing_is_done_to_a_server_whose_key_a_stranger_changed_when_it_falls_silent(ward: Ward) -> None:
    await ward.sees(ONE, lost(Condition.HOST_KEY_CHANGED))
    await ward.recovery_fails()
    await ward.sees(ONE, lost(Condition.SILENT))
    stranger, silent = await ward.incidents()
    assert (silent.incident_type, silent.status) == (IncidentType.SERVER_UNREACHABLE, IncidentStatus.DETECTED)
    assert await ward.pursuit.pursue() == 0
    assert await ward.live() is None
    assert f"incident {stranger.id} says that another machine may be answering" in await ward.story(silent.id)
    async with ward.office.db.transaction() as session:
        await change_incident(session, stranger.id, IncidentStatus.RESOLVED, PERSON, at=ward.clock.now())
    assert await ward.pursuit.pursue() == 1, "a person has looked: now it is an ordinary loss"


async def test_what_comes_and_goes_is_one_incident_and_one_message(ward: Ward) -> None:
    await ward.sees(ONE, lost(flapping=True))
    await ward.recovery_fails()
    told = len(await ward.messages())
    for _ in range(5):
        await ward.sees(ONE, well(flapping=True))
        await ward.sees(ONE, lost(flapping=True))
    assert len(await ward.incidents()) == 1
    assert len(await ward.messages()) == told
    await ward.sees(ONE, well())
    (incident,) = await ward.incidents()
    assert incident.status == IncidentStatus.RESOLVED


async def test_a_server_is_not_back_in_service_while_something_else_keeps_it_out(ward: Ward) -> None:
    await ward.sees(ONE, well(Condition.DOCKER_DOWN, Condition.FIREWALL_OFF))
    docker, firewall = await ward.incidents()
    now = ward.clock.now()

    async def closed(incident: Incident) -> ServerStatus:
        async with ward.office.db.transaction() as session:
            await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.WORKER, at=now)
            server = await get_server(session, ONE, for_update=True)
            await return_to_service(session, server, Party.WORKER, audit.WORKER, in_use=False, at=now, reason="proved")
            return ServerStatus(server.status)

    assert await closed(firewall) is ServerStatus.ERROR
    assert await closed(docker) is ServerStatus.READY


async def test_siblings_are_handed_over_when_the_recovery_ends_and_not_before(ward: Ward) -> None:
    await ward.sees(ONE, lost(Condition.SILENT))
    await ward.sees(ONE, lost(Condition.HOST_KEY_CHANGED))
    assert [row.status for row in await ward.incidents()] == [IncidentStatus.DETECTED] * 2
    await ward.recovery_fails()
    assert [row.status for row in await ward.incidents()] == [IncidentStatus.FAILED] * 2


# --- storms


async def _weigh(ward: Ward, handle: str, silent: tuple[str, ...] = ()) -> str | None:
    async with ward.office.db.transaction() as session:
        incident = await open_of(session, handle, IncidentType.SERVER_UNREACHABLE)
        return await weigh_storm(
            session, handle, incident.id if incident else None, RULES, silent=silent, at=ward.clock.now()
        )


async def _all_lost_and_a_canary_chosen(ward: Ward) -> None:
    for handle in (ONE, TWO, THREE):
        await ward.sees(handle, lost())
    assert await _weigh(ward, ONE) is not None
    ward.clock.advance(RULES.storm_quiet_s + 1)
    assert await _weigh(ward, ONE) is None, "the canary"
    assert "vps-1 goes first" in str(await _weigh(ward, TWO))


async def test_a_canary_whose_recovery_was_cancelled_does_not_hold_the_others_back_for_ever(ward: Ward) -> None:
    await _all_lost_and_a_canary_chosen(ward)
    live = await ward.live(ONE)
    assert live is not None
    async with ward.office.db.transaction() as session:
        await ward.office.intents.cancel(session, live.id, PERSON, at=ward.clock.now())
    assert await _weigh(ward, TWO) is not None, "the quiet time begins anew"
    ward.clock.advance(RULES.storm_quiet_s + 1)
    assert await _weigh(ward, TWO) is None


async def test_a_canary_whose_recovery_failed_in_whatever_way_lets_another_go(ward: Ward) -> None:
    await _all_lost_and_a_canary_chosen(ward)
    await ward.recovery_fails(ONE)
    ward.clock.advance(RULES.storm_quiet_s + 1)
    assert await _weigh(ward, THREE) is None


@pytest.mark.parametrize("waits_for", ["root_password", HELD_BACK])
async def test_a_canary_that_waits_for_people_holds_the_others_back_no_longer(ward: Ward, waits_for: str) -> None:
    """For a day nobody may give the password, and for ever lift the hold."""
    await _all_lost_and_a_canary_chosen(ward)
    async with ward.office.db.transaction() as session:
        live = await live_operation(session, ONE, for_update=True)
        assert live is not None
        live.status, live.waiting_for = OperationStatus.WAITING.value, waits_for
    assert await _weigh(ward, TWO) is not None, "the quiet time begins anew"
    ward.clock.advance(RULES.storm_quiet_s + 1)
    assert await _weigh(ward, TWO) is None
    assert "vps-2 goes first" in str(await _weigh(ward, THREE))
    storm = await ward.storm()
    assert "the recovery of the canary vps-1 waits: another may go after a quiet time" in await ward.story(storm.id)


async def test_servers_of_which_nothing_is_known_count_as_unwell(ward: Ward) -> None:
    ward.clock.advance(3600)
    async with ward.office.db.transaction() as session:
        for handle in (TWO, THREE):
            row = (await session.scalars(select(ServerHealth).where(ServerHealth.server_handle == handle))).one()
            await session.delete(row)
    await ward.sees(ONE, lost())
    assert "3 of 3 servers are unwell" in str(await _weigh(ward, ONE))


# --- what was told at a bad moment


class FakeMonitor:
    """A monitor that has told everything it sees."""

    def __init__(self, handle: str, verdict: Verdict, *, seen_at: datetime, blind: str = "") -> None:
        watch = SimpleNamespace(
            lost=verdict.condition, symptoms=verdict.symptoms, clearing=(), bad=(SimpleNamespace(at=seen_at),)
        )
        server = SimpleNamespace(handle=handle, expectations=Expectations())
        reading = SimpleNamespace(at=seen_at, full=None)
        self.watchers = {handle: SimpleNamespace(server=server, watch=watch, verdict=verdict, reading=reading)}
        self.blind = blind

    def was_told(self, _: str, __: Verdict) -> bool:
        return True


async def _again(ward: Ward, monitor: FakeMonitor) -> list[str]:
    return await look_again(ward.office.db, monitor, ward.responder)  # type: ignore[arg-type]


async def test_who_is_lost_during_a_deployment_is_not_forgotten_after_it(ward: Ward) -> None:
    now = ward.clock.now()
    async with ward.office.db.transaction() as session:
        deploy = await ward.office.intents.deploy(session, ONE, Intent(OperationKind.DEPLOY, PERSON), at=now)
        deploy.started_at = now
    await ward.sees(ONE, lost())
    assert await ward.incidents() == []
    async with ward.office.db.transaction() as session:
        finish(await get_operation(session, deploy.id, for_update=True), OperationStatus.FAILED, at=ward.clock.now())
    stale = FakeMonitor(ONE, lost(), seen_at=now)
    assert await _again(ward, stale) == [], "what was seen before the end may be the deployment's doing"
    ward.clock.advance(5)
    assert await _again(ward, FakeMonitor(ONE, lost(), seen_at=ward.clock.now(), blind="no anchor")) == []
    assert await _again(ward, FakeMonitor(ONE, lost(), seen_at=ward.clock.now())) == [ONE]
    (incident,) = await ward.incidents()
    assert incident.status == IncidentStatus.DETECTED and await ward.live() is not None
    assert await _again(ward, FakeMonitor(ONE, lost(), seen_at=ward.clock.now())) == [], "and told once"


@pytest.mark.parametrize("kind", [OperationKind.DEPLOY, OperationKind.PROVISION])
@pytest.mark.parametrize("has_begun", [False, True])
async def test_who_is_lost_while_something_waits_for_the_end_of_a_freeze_is_told_at_once(
    ward: Ward, kind: OperationKind, has_begun: bool
) -> None:
    """The recovery begins when what waited, and cannot be done to a lost server, is over."""
    now = ward.clock.now()
    async with ward.office.db.transaction() as session:
        server = await get_server(session, ONE, for_update=True)
        waiting = await ward.office.intents.enqueue_new(session, server, Intent(kind, PERSON), at=now)
        if has_begun:
            waiting.started_at, waiting.status = now, OperationStatus.WAITING.value
        frozen = await hold(session, None, PERSON, at=now, reason="a storm")
    await ward.sees(ONE, lost())
    (incident,) = await ward.incidents()
    assert incident.status == IncidentStatus.DETECTED
    assert any("vps-1" in text and "silent" in text for text in await ward.messages())
    assert "no recovery begins: vps-1 is on hold: a storm." in await ward.story(incident.id)
    live = await ward.live()
    assert live is not None and live.id == waiting.id, "what waits is not taken from who asked for it"
    async with ward.office.db.transaction() as session:
        await lift(session, frozen.id, PERSON, at=ward.clock.now())
    assert await ward.pursuit.pursue() == 0, "one at a time"
    async with ward.office.db.transaction() as session:
        finish(await get_operation(session, waiting.id, for_update=True), OperationStatus.FAILED, at=ward.clock.now())
    assert await ward.pursuit.pursue() == 1
    live = await ward.live()
    assert live is not None and (live.kind, live.params["incident_id"]) == ("recover", incident.id)


async def test_a_firewall_that_our_own_remedy_flushed_is_drift_only_when_it_stays_off(ward: Ward) -> None:
    await ward.sees(ONE, lost())
    live = await ward.live()
    assert live is not None
    async with ward.office.db.transaction() as session:
        operation = await get_operation(session, live.id, for_update=True)
        operation.status = OperationStatus.RUNNING.value
        session.add(
            RemedyRun(
                operation_id=live.id,
                incident_id=int(live.params["incident_id"]),
                server_handle=ONE,
                rung=0,
                remedy="flush_firewall",
                begun_at=ward.clock.now(),
            )
        )
    await ward.sees(ONE, well(Condition.FIREWALL_OFF))
    assert [row.incident_type for row in await ward.incidents()] == [IncidentType.SERVER_UNREACHABLE]
    await ward.recovery_fails()
    ward.clock.advance(5)
    after = FakeMonitor(ONE, well(Condition.FIREWALL_OFF), seen_at=ward.clock.now())
    assert await _again(ward, after) == [ONE]
    assert (await ward.incidents())[-1].incident_type == IncidentType.SECURITY_DRIFT


async def test_a_firewall_that_goes_off_during_a_recovery_without_our_doing_is_told_at_once(ward: Ward) -> None:
    await ward.sees(ONE, well(Condition.DISK_FULL))
    live = await ward.live()
    assert live is not None
    await ward.sees(ONE, well(Condition.DISK_FULL, Condition.FIREWALL_OFF))
    assert [row.incident_type for row in await ward.incidents()] == [
        IncidentType.RESOURCE_EXHAUSTED,
        IncidentType.SECURITY_DRIFT,
    ]


async def test_who_was_proved_to_be_back_is_not_lost_by_a_look_of_before(ward: Ward) -> None:
    """The worker's proof ends the incident; its operation ends a moment later, and the monitor looks once in 15 s."""
    await ward.sees(ONE, lost())
    (incident,) = await ward.incidents()
    looked_at = ward.clock.now()
    ward.clock.advance(2)
    async with ward.office.db.transaction() as session:
        live = await live_operation(session, ONE, for_update=True)
        assert live is not None
        live.status = OperationStatus.RUNNING.value
        await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.WORKER, at=ward.clock.now())
    for seen_at in (looked_at, ward.clock.now() + timedelta(seconds=1)):
        assert await _again(ward, FakeMonitor(ONE, lost(), seen_at=seen_at)) == []
    assert [row.status for row in await ward.incidents()] == [IncidentStatus.RESOLVED]
    after = ward.clock.now() + LOOK_LASTS + timedelta(seconds=1)
    assert await _again(ward, FakeMonitor(ONE, lost(), seen_at=after)) == [ONE], "lost again is lost"


async def test_who_came_back_while_its_recovery_ran_does_not_stay_in_error_when_that_fails(ward: Ward) -> None:
    await ward.sees(ONE, lost())
    live = await ward.live()
    assert live is not None
    async with ward.office.db.transaction() as session:
        (await get_operation(session, live.id, for_update=True)).status = OperationStatus.RUNNING.value
    await ward.sees(ONE, well())
    await ward.recovery_fails()
    ward.clock.advance(5)
    assert await _again(ward, FakeMonitor(ONE, well(), seen_at=ward.clock.now())) == [ONE]
    (incident,) = await ward.incidents()
    assert incident.status == IncidentStatus.RESOLVED
    async with ward.office.db.transaction() as session:
        assert (await get_server(session, ONE)).status == ServerStatus.READY


@pytest.mark.parametrize("status", [ServerStatus.ERROR, ServerStatus.MAINTENANCE])
async def test_an_answer_alone_does_not_end_what_was_set_up_anew_and_not_proved(
    ward: Ward, status: ServerStatus
) -> None:
    await ward.sees(ONE, lost())
    (incident,) = await ward.incidents()
    async with ward.office.db.transaction() as session:
        row = (await session.scalars(select(Incident).where(Incident.id == incident.id))).one()
        row.details = {"unproved": True}
    await ward.recovery_fails()
    async with ward.office.db.transaction() as session:
        (await get_server(session, ONE)).status = status.value
    await ward.sees(ONE, well())
    assert [row.status for row in await ward.incidents()] == [IncidentStatus.FAILED]


async def test_a_question_of_a_cancelled_recovery_is_open_no_more(ward: Ward) -> None:
    await ward.sees(ONE, lost())
    now = ward.clock.now()
    async with ward.office.db.transaction() as session:
        live = await live_operation(session, ONE, for_update=True)
        assert live is not None
        asked = Approval(
            operation_id=live.id,
            incident_id=(await ward.incidents())[0].id,
            server_handle=ONE,
            rung=3,
            remedy="reinstall",
            why="?",
            asked_at=now,
            expires_at=now + timedelta(hours=4),
        )
        session.add(asked)
    await ward.pursuit.pursue()
    assert await _open_questions(ward) == [ONE], "its operation lives"
    async with ward.office.db.transaction() as session:
        live = await live_operation(session, ONE, for_update=True)
        assert live is not None
        await end_cancelled(session, live, PERSON, at=ward.clock.now())
    await ward.pursuit.pursue()
    assert await _open_questions(ward) == []
    async with ward.office.db.transaction() as session:
        row = await get_approval(session, asked.id)
        assert (row.decision, row.decided_by) == ("expired", "the end of its operation")


async def _open_questions(ward: Ward) -> list[str]:
    async with ward.office.db.transaction() as session:
        rows, _ = await list_approvals(session, is_open=True)
        return [row.server_handle for row in rows]


async def test_trouble_of_a_server_that_left_our_care_ends_without_proof_and_says_so(ward: Ward) -> None:
    for handle in (ONE, TWO):
        await ward.sees(handle, lost())
    async with ward.office.db.transaction() as session:
        for handle in (ONE, TWO):
            live = await live_operation(session, handle, for_update=True)
            assert live is not None
            await end_cancelled(session, live, PERSON, at=ward.clock.now())
        server = await get_server(session, ONE, for_update=True)
        change_status(session, server, StatusEvent.RETIRED, Party.OPERATOR, actor=PERSON, at=ward.clock.now())
    await ward.pursuit.pursue()
    first, second = await ward.incidents(), await ward.incidents(TWO)
    assert [row.status for row in first] == ["resolved"]
    assert "the server is decommissioned, so nobody looks after it" in await ward.story(first[0].id)
    assert "resolved" not in {row.status for row in second}


async def test_old_incidents_that_nobody_pursues_do_not_hide_a_new_one(ward: Ward) -> None:
    """A hundred that were cancelled by a person, and one that nobody attends to."""
    now = ward.clock.now()
    async with ward.office.db.transaction() as session:
        for number in range(10, 120):
            server = await add_server(session, f"vps-{number}", at=now)
            old, _ = await open_incident(
                session, server.handle, IncidentType.SERVER_UNREACHABLE, audit.MONITOR, at=now, cause="silent"
            )
            session.add(
                Operation(
                    server_handle=server.handle, kind="recover", status="cancelled", requested_by="t", reason="",
                    params={"incident_id": old.id}, priority=1, max_attempts=3, due_at=now, created_at=now,
                )
            )  # fmt: skip
        await open_incident(session, ONE, IncidentType.SERVER_UNREACHABLE, audit.MONITOR, at=now, cause="silent")
    assert await ward.pursuit.pursue() == 1
    assert await ward.live() is not None
