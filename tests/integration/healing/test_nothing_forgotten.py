"""A night of bad moments: what was told when nothing could be done is not forgotten, what changed meanwhile is not
acted upon, and nothing waits for somebody who is gone.

One fleet for all, in this order; each test leaves it well.
"""

from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy import select

from lazaret.healing import requests
from lazaret.healing.blindness import begin_blindness
from lazaret.healing.model import Approval, Decision
from lazaret.healing.requests import Infirmary
from lazaret.incidents.model import OPEN, Incident, IncidentStatus
from lazaret.lab.calls import Call
from lazaret.operations.store import live_operation
from lazaret.probing.model import ServerHealth
from lazaret.servers.status import ServerStatus
from tests.healing_scene import OPERATOR, Scene, scene_of
from tests.integration.healing.test_recovery import acts, host_of

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with scene_of(4) as made:
        yield made


async def _seen_lost(scene: Scene, handle: str) -> bool:
    return await scene.rows(select(ServerHealth.phase).where(ServerHealth.server_handle == handle)) == ["lost"]


async def test_who_is_lost_in_a_maintenance_window_and_stays_lost_is_healed_after_it(scene: Scene) -> None:
    lost, office = scene.handles()[0], scene.office
    now = office.clock.now()
    async with office.db.transaction() as session:
        window = await requests.plan_window(
            session, lost, OPERATOR, at=now, starts_at=now, ends_at=now + timedelta(hours=1), reason="a new disk"
        )
    await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
    await scene.until("it is seen lost", lambda: _seen_lost(scene, lost))
    await scene.holds_for(3, lambda: _has_no_incident(scene, lost))
    async with office.db.transaction() as session:
        await requests.cancel_window(session, window.id, OPERATOR, at=office.clock.now())
    await scene.until_resolved(lost)
    assert (await scene.remedies(lost))[-1] == "reboot helped"
    await scene.until_watched()


async def _has_no_incident(scene: Scene, handle: str) -> bool:
    return await scene.incidents(handle) == []


async def test_a_yes_is_not_for_a_server_that_came_back_meanwhile(scene: Scene) -> None:
    lost = scene.handles()[1]
    host = host_of(scene, lost)
    as_it_was = deepcopy(host.state)
    scene.lab.cloud.order(Call.REINSTALL, host.handle_id, {"os": scene.lab.rack.templates[0].os})
    question = select(Approval).where(Approval.server_handle == lost, Approval.decision.is_(None))

    async def asked() -> bool:
        return bool(await scene.rows(question))

    await scene.until("approval is asked", asked)
    await scene.end("monitor")  # nobody sees that it is back
    host.state = as_it_was
    host.restart_ssh()
    (approval,) = await scene.rows(question)
    async with scene.office.db.transaction() as session:
        infirmary = Infirmary(scene.office.intents)
        await infirmary.decide(session, approval.id, Decision.APPROVED, OPERATOR, at=scene.office.clock.now())

    async def over() -> bool:
        async with scene.office.db.transaction() as session:
            return await live_operation(session, lost) is None

    await scene.until("the recovery has ended", over)
    assert acts(scene, lost).count("reinstall") == 1, "the stranger's own, and none of ours"
    assert "reinstall" not in " ".join(await scene.remedies(lost))
    scene.begin("monitor")
    await scene.until_resolved(lost)
    assert (await scene.server(lost)).status == ServerStatus.READY
    await scene.until_watched()


async def test_an_incident_that_is_handed_over_has_nothing_at_work_any_more(scene: Scene) -> None:
    """So that an operator who asks anew in the same second is not refused."""
    lost = scene.handles()[2]
    host = host_of(scene, lost)
    as_it_was = deepcopy(host.state)
    scene.lab.cloud.order(Call.REINSTALL, host.handle_id, {"os": scene.lab.rack.templates[0].os})
    question = select(Approval).where(Approval.server_handle == lost, Approval.decision.is_(None))

    async def asked() -> bool:
        return len(await scene.rows(question)) == 1 and len(await _open(scene, lost)) == 2

    await scene.until("approval is asked, and the loss has two faces", asked)
    (approval,) = await scene.rows(question)
    async with scene.office.db.transaction() as session:
        infirmary = Infirmary(scene.office.intents)
        await infirmary.decide(session, approval.id, Decision.DENIED, OPERATOR, at=scene.office.clock.now())

    async def handed_over() -> bool:
        async with scene.office.db.transaction() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            live = await live_operation(session, lost)
            statuses = set(await session.scalars(select(Incident.status).where(Incident.server_handle == lost)))
        assert IncidentStatus.FAILED not in statuses or live is None, await scene.story()
        return statuses == {IncidentStatus.FAILED.value}

    await scene.until("denied and handed over", handed_over)
    host.state = as_it_was
    host.restart_ssh()
    await scene.until_resolved(lost)
    await scene.until_watched()


async def _open(scene: Scene, handle: str) -> list[Incident]:
    return [row for row in await scene.incidents(handle) if row.status in OPEN]


async def test_a_monitor_that_died_blind_does_not_leave_the_fleet_unjudged(scene: Scene) -> None:
    office = scene.office
    long_ago = office.clock.now() - timedelta(minutes=5)
    async with office.db.transaction() as session:
        await begin_blindness(session, "no anchor answers", at=long_ago)

    async def sees() -> bool:
        rows = await scene.rows(select(Incident).where(Incident.incident_type == "observer_blind"))
        return [row.status for row in rows] == [IncidentStatus.RESOLVED]

    await scene.until("those that live say that they see", sees)


async def test_a_recovery_that_a_person_cancelled_is_no_end_of_the_incident(scene: Scene) -> None:
    """The server comes back while nobody is at work on it: that alone closes it, however long ago it was told."""
    lost, office = scene.handles()[3], scene.office
    async with office.db.transaction() as session:
        frozen = await requests.hold(session, lost, OPERATOR, at=office.clock.now(), reason="being moved")
    await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
    await scene.until_status(lost, ServerStatus.ERROR)
    async with office.db.transaction() as session:
        live = await live_operation(session, lost)
        if live is not None:
            await office.intents.cancel(session, live.id, OPERATOR, at=office.clock.now())
    async with office.db.transaction() as session:
        await requests.lift(session, frozen.id, OPERATOR, at=office.clock.now())
    await scene.lab.cloud.power_on(host_of(scene, lost).handle_id)
    await scene.until_resolved(lost)
    assert (await scene.server(lost)).status == ServerStatus.READY
    await scene.until_watched()
