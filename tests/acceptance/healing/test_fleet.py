"""What must hold on real hosts when several are lost at once, when nobody can see, and when our own parts die.

In this order; each test leaves all well.
"""

import asyncio
import os
import signal

from lazaret.healing import requests
from lazaret.incidents.model import IncidentStatus
from lazaret.servers.status import ServerStatus
from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, healed, serving, trouble
from tests.database import kill_and_restart
from tests.healing_scene import OPERATOR

SERVERS = 2
ANCHOR = ("127.255.0.9", 9)
SETTINGS = {"LAZARET_STORM_QUIET": "12", "LAZARET_ANCHORS": f"{ANCHOR[0]}:{ANCHOR[1]}"}
pytestmark = ON_REAL_HOSTS


async def test_an_observer_whose_own_network_is_cut_judges_nobody(ward: Ward) -> None:
    both = [await serving(ward, index) for index in range(SERVERS)]
    with ward.scene.silent_at(*ANCHOR):
        for handle, _ in both:
            await ward.scene.lab.cloud.inflict(ward.host(handle).handle_id, "cut")

        async def blind() -> bool:
            return [row.incident_type for row in await ward.scene.incidents()] == ["observer_blind"]

        await ward.scene.until("the monitor knows that it is blind", blind)
        await ward.scene.holds_for(6, blind)
        assert {(await ward.scene.server(handle)).status for handle, _ in both} == {ServerStatus.IN_USE}
        for handle, _ in both:
            await ward.scene.lab.cloud.heal(ward.host(handle).handle_id, "cut")

    async def sees() -> bool:
        return all(row.status == IncidentStatus.RESOLVED for row in await ward.scene.incidents())

    await ward.scene.until("it sees again", sees)
    for handle, port in both:
        await ward.until_says(handle, port, "hello")
        assert await ward.scene.remedies(handle) == []
    await asyncio.sleep(3)  # after blindness only what is seen anew counts: a heartbeat or two
    await ward.settle()


async def test_two_of_two_lost_at_once_and_a_canary_goes_first(ward: Ward) -> None:
    both = [await serving(ward, index) for index in range(SERVERS)]
    for handle, _ in both:
        await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)

    async def storm() -> bool:
        kinds = [row.incident_type for row in await ward.scene.incidents()]
        return kinds.count("server_unreachable") == SERVERS and "many_servers_lost" in kinds

    await ward.scene.until("a storm is told", storm)
    assert [await ward.scene.remedies(handle) for handle, _ in both] == [[], []], await ward.scene.story()

    async def canary() -> bool:
        return any([await ward.scene.remedies(handle) for handle, _ in both])

    await ward.scene.until("a canary goes", canary)
    begun = [(handle, port) for handle, port in both if await ward.scene.remedies(handle)]
    assert len(begun) == 1, "one goes first, alone"
    await healed(ward, *begun[0])
    for handle, port in both:
        assert (await healed(ward, handle, port))[-1] == "reboot helped"


async def test_a_server_that_comes_back_while_its_recovery_waits_is_left_alone(ward: Ward) -> None:
    handle, port = await serving(ward, 0)
    office = ward.scene.office
    before = await ward.scene.remedies(handle)
    async with office.db.transaction() as session:
        frozen = await requests.hold(session, None, OPERATOR, at=office.clock.now(), reason="a drill")
    await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)
    await trouble(ward, handle)
    await ward.scene.lab.cloud.power_on(ward.host(handle).handle_id)
    await ward.scene.until_resolved(handle)
    await ward.until_says(handle, port, "hello")
    assert await ward.scene.remedies(handle) == before, "nothing was done to a server that came back by itself"
    async with office.db.transaction() as session:
        await requests.lift(session, frozen.id, OPERATOR, at=office.clock.now())
    await ward.settle()


async def test_worker_monitor_and_postgresql_killed_in_the_middle(ward: Ward) -> None:
    handle, port = await serving(ward, 1)
    before = len(ward.reboots(handle))
    await ward.scene.end("worker")
    process = await ward.scene.worker_process()
    await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)
    incident = await trouble(ward, handle)

    async def begun() -> bool:
        return bool(await ward.remedies_for(incident.id))

    await ward.scene.until("a remedy has begun", begun)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    await ward.scene.end("monitor")
    await kill_and_restart(ward.scene.office.conninfo)
    ward.scene.begin("worker", "monitor")
    assert (await healed(ward, handle, port))[-1] == "reboot helped"
    assert len(ward.reboots(handle)) == before + 1, await ward.scene.story()
