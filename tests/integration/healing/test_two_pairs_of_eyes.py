"""The worker sees a server well that a monitor holds for lost: who has more patience, or another way, ends nothing."""

from datetime import timedelta

import pytest

from lazaret.entrypoints.office import Office
from lazaret.healing.steps.diagnose import diagnose
from lazaret.healing.steps.step import Next
from lazaret.incidents.model import IncidentStatus
from lazaret.incidents.store import get_incident, timeline_of
from lazaret.operations.model import OperationStatus
from lazaret.operations.outcome import Wait
from lazaret.probing.model import Monitor, ServerHealth
from lazaret.servers.access import LoginRefused
from tests.integration.healing.conftest import ONE, Recovery, reading
from tests.integration.healing.test_responder import Ward, well

UNSEEN = "It answers the worker, and the monitor does not see it yet: it is over when both do."


async def watched(
    recovery: Recovery, phase: str, *, told_s: float = 3, is_alive: bool = True, is_blind: bool = False
) -> None:
    """A monitor wrote this down so many seconds after it had opened the incident."""
    now = recovery.clock.now()
    async with recovery.ctx.run.db.transaction() as session:
        seen_at = now + timedelta(days=1) if is_alive else now - timedelta(minutes=1)
        await session.merge(Monitor(id="m", vantage="main", started_at=now, seen_at=seen_at, is_blind=is_blind))
        await session.flush()
        at = (await get_incident(session, recovery.ctx.incident_id)).detected_at + timedelta(seconds=told_s)
        await session.merge(
            ServerHealth(server_handle=ONE, vantage="main", monitor="m", phase=phase, since=at, updated_at=at)
        )


async def looks(recovery: Recovery) -> Next | Wait:
    result = await diagnose(recovery.ctx, recovery.state)
    assert isinstance(result, Next | Wait), result
    return result


async def story(recovery: Recovery) -> list[str]:
    async with recovery.ctx.run.db.transaction() as session:
        return [line.message for line in await timeline_of(session, recovery.ctx.incident_id)]


@pytest.fixture
def unplanned(recovery: Recovery) -> Recovery:
    """A recovery that has just begun, with a look that finds all well."""
    recovery.state["condition"], recovery.state["ladder"] = "", []
    recovery.sees(reading(recovery.clock, docker=True))
    return recovery


@pytest.mark.parametrize(
    ("phase", "told_s"), [("lost", 3), ("returning", 3), pytest.param("well", -20, id="its verdict is not written yet")]
)
async def test_what_a_monitor_holds_for_lost_is_not_over(unplanned: Recovery, phase: str, told_s: float) -> None:
    """It would be opened again at the next knock, and so on every few seconds."""
    await watched(unplanned, phase, told_s=told_s)
    result = await looks(unplanned)
    assert isinstance(result, Wait) and result.why == UNSEEN, result
    assert result.until is not None and (result.until - unplanned.clock.now()).total_seconds() <= 15
    await looks(unplanned)
    assert (await story(unplanned)).count(UNSEEN) == 1


async def test_it_is_over_as_soon_as_the_monitor_sees_it_too(unplanned: Recovery) -> None:
    await watched(unplanned, "lost")
    assert isinstance(await looks(unplanned), Wait)
    await watched(unplanned, "well", told_s=20)
    result = await looks(unplanned)
    assert isinstance(result, Next) and result.to == "restore", result


async def test_the_monitors_own_word_ends_the_wait(unplanned: Recovery, office: Office) -> None:
    await watched(unplanned, "lost")
    assert isinstance(await looks(unplanned), Wait)
    async with unplanned.ctx.run.apply() as (_, operation):
        operation.status, operation.lease = OperationStatus.WAITING.value, None
    monitor = Ward(office)
    await monitor.sees(ONE, well())
    assert await monitor.live() is None
    assert [row.status for row in await monitor.incidents()] == [IncidentStatus.RESOLVED]


@pytest.mark.parametrize("monitor", [{"is_alive": False}, {"is_blind": True}])
async def test_a_monitor_that_is_dead_or_blind_is_not_waited_for(unplanned: Recovery, monitor: dict[str, bool]) -> None:
    await watched(unplanned, "lost", **monitor)
    result = await looks(unplanned)
    assert isinstance(result, Next) and result.to == "restore", result


async def test_where_nobody_watches_the_look_decides(unplanned: Recovery) -> None:
    result = await looks(unplanned)
    assert isinstance(result, Next) and result.to == "restore", result


async def test_who_was_seen_lost_by_the_worker_too_is_back_when_the_worker_says_so(recovery: Recovery) -> None:
    await watched(recovery, "lost")
    assert recovery.state["condition"] == "login_refused"
    recovery.sees(reading(recovery.clock, docker=True))
    result = await looks(recovery)
    assert isinstance(result, Next) and result.to == "restore", result


async def test_what_a_login_shows_is_seen_by_both(unplanned: Recovery) -> None:
    """A monitor takes its time to believe that Docker runs again; that ends by itself."""
    async with unplanned.ctx.run.db.transaction() as session:
        incident = await get_incident(session, unplanned.ctx.incident_id)
        incident.incident_type, incident.cause = "service_down", "docker_down"
    await watched(unplanned, "lost")
    result = await looks(unplanned)
    assert isinstance(result, Next) and result.to == "restore", result


async def test_a_person_is_told_when_they_do_not_come_to_agree(unplanned: Recovery) -> None:
    await watched(unplanned, "lost")
    for _ in range(20):
        result = await looks(unplanned)
        assert isinstance(result, Wait), result
        await unplanned.clock.sleep(15)
    result = await looks(unplanned)
    assert isinstance(result, Next) and result.to == "hand_over", result
    assert "the monitor cannot log in" in result.update["because"]
    assert (result.update["condition"], result.update["can_log_in"]) == ("login_refused", True)


async def test_who_is_lost_for_the_worker_as_well_meanwhile_is_treated(unplanned: Recovery) -> None:
    await watched(unplanned, "lost")
    unplanned.sees(reading(unplanned.clock, docker=True), LoginRefused("No."))
    assert isinstance(await looks(unplanned), Wait)
    result = await looks(unplanned)
    assert isinstance(result, Next) and result.to == "choose", result
