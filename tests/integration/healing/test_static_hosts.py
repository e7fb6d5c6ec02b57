"""Hosts from a file and servers of an account in one fleet, on simulated hosts: healed in place, or handed over.

One fleet for all, in this order; each test leaves it well.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import select

from lazaret.healing.why import Why, why
from lazaret.incidents.model import Incident, IncidentStatus
from lazaret.incidents.store import timeline_of
from lazaret.lab.simulated import SimulatedHost
from lazaret.operations.model import ProviderCall
from lazaret.servers.status import ServerStatus
from tests.healing_scene import Scene, scene_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    """Three hosts of a file, and two servers of the account."""
    async with scene_of(5, static=3, LAZARET_STORM_QUIET="8") as made:
        yield made


def host_of(scene: Scene, handle: str) -> SimulatedHost:
    host = scene.lab.cloud.host(int(handle.rpartition("-")[2]))
    assert isinstance(host, SimulatedHost)
    return host


async def asked(scene: Scene, handle: str) -> list[str]:
    """What the provider was asked to do to a server: by our own books, and by the lab's."""
    ours = await scene.rows(select(ProviderCall.action).where(ProviderCall.server_handle == handle))
    wanted = int(handle.rpartition("-")[2])
    return [*ours, *(str(one.action) for one in scene.lab.journal.entries(kind="effect", server_id=wanted))]


async def why_of(scene: Scene, handle: str) -> Why:
    async with scene.office.db.transaction() as session:
        return await why(session, handle, at=scene.office.clock.now())


async def handed_over(scene: Scene, handle: str, *, timeout_s: float = 60) -> Incident:
    async def over() -> bool:
        return [row.status for row in (await scene.incidents(handle))[-1:]] == [IncidentStatus.FAILED]

    await scene.until(f"{handle} is handed over", over, timeout_s=timeout_s)
    return (await scene.incidents(handle))[-1]


async def test_both_kinds_were_set_up_side_by_side(scene: Scene) -> None:
    """The account lists the same machines as well; by way of it they are ghosts."""
    assert [handle.partition("-")[0] for handle in scene.handles()] == ["host"] * 3 + ["vps"] * 2
    for handle in scene.handles():
        server = await scene.server(handle)
        assert (server.status, server.is_managed) == (ServerStatus.READY, True)
        assert bool(server.capabilities) == handle.startswith("vps")
        ghost = await scene.server(handle.replace("host", "vps"))
        assert ghost.is_managed == handle.startswith("vps")
    for handle in scene.handles()[:3]:
        assert await asked(scene, handle) == []


async def test_docker_down_is_mended_in_place(scene: Scene) -> None:
    handle = scene.handles()[0]
    await scene.lab.cloud.inflict(host_of(scene, handle).handle_id, "docker_stopped")
    await scene.until_resolved(handle)
    assert await scene.remedies(handle) == ["restart_docker helped"], await scene.story()
    assert await asked(scene, handle) == []
    await scene.until_watched()


async def test_power_lost_is_handed_over_with_its_reason_and_over_when_it_is_switched_on(scene: Scene) -> None:
    handle = scene.handles()[1]
    await scene.lab.cloud.power_off(host_of(scene, handle).handle_id)
    incident = await handed_over(scene, handle)
    assert incident.cause == "silent"
    assert await scene.remedies(handle) == [] == await asked(scene, handle)
    async with scene.office.db.transaction() as session:
        told = "\n".join(line.message for line in await timeline_of(session, incident.id))
    assert "left out with the provider static: flush_firewall, reboot, reinstall. " in told, told
    assert "left out with the provider static: provision_again. Nobody can log in" in told
    said = await why_of(scene, handle)
    assert any("left out with the provider static" in line for line in said.decided)
    assert any("cannot reboot, reset_password, reinstall, flush_firewall" in line for line in said.known)
    (operation,) = (await scene.operations(handle))[-1:]
    assert "switch it on" in (operation.hint or "") and "lazaret rebuild" not in (operation.hint or "")
    await scene.lab.cloud.power_on(host_of(scene, handle).handle_id)
    await scene.until_resolved(handle)
    await scene.until_status(handle, ServerStatus.READY)
    await scene.until_watched()


async def test_a_storm_at_one_provider_holds_nothing_back_at_the_other(scene: Scene) -> None:
    file_host = scene.handles()[1]  # on which Docker was not restarted yet: that rests after each use
    account = scene.handles()[3:]
    for handle in account:
        await scene.lab.cloud.power_off(host_of(scene, handle).handle_id)

    async def storm() -> bool:
        return any(row.incident_type == "many_servers_lost" for row in await scene.incidents())

    await scene.until("a storm is told", storm)
    begun = len(await scene.remedies(file_host))
    await scene.lab.cloud.inflict(host_of(scene, file_host).handle_id, "docker_stopped")

    async def mended() -> bool:
        return (await scene.remedies(file_host))[begun:] == ["restart_docker helped"]

    await scene.until("the host of the file is mended", mended)
    storms = [row for row in await scene.incidents() if row.incident_type == "many_servers_lost"]
    assert [row.provider for row in storms] == ["time4vps"]
    for handle in account:
        await scene.until_resolved(handle, timeout_s=100)
    await scene.until_watched()


async def test_a_file_that_breaks_stops_all_action_and_nothing_else(scene: Scene) -> None:
    handle = scene.handles()[2]
    assert scene.hosts_file is not None
    good = scene.hosts_file.read_text()
    scene.hosts_file.write_text(good + "garbage: [")
    await scene.lab.cloud.inflict(host_of(scene, handle).handle_id, "docker_stopped")

    async def told() -> bool:
        rows = await scene.incidents(handle)
        if not rows:
            return False
        async with scene.office.db.transaction() as session:
            return any("is not managed" in line.message for line in await timeline_of(session, rows[-1].id))

    await scene.until("why nothing begins is told", told)
    assert await scene.remedies(handle) == []
    assert {(await scene.server(one)).is_managed for one in scene.handles()} == {True}
    scene.hosts_file.write_text(good)
    await scene.until_resolved(handle)
    assert await scene.remedies(handle) == ["restart_docker helped"]
    await scene.until_watched()
