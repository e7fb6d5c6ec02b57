"""What must hold whatever happens: storms stop remedies, the blind do not judge, and a crash acts no second time."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from lazaret.incidents.model import IncidentStatus
from lazaret.servers.status import ServerStatus
from tests.healing_scene import Scene, scene_of
from tests.integration.healing.test_recovery import acts, host_of

pytestmark = pytest.mark.timeout(170)


async def _power_off_all(scene: Scene) -> None:
    for handle in scene.handles():
        await scene.lab.cloud.power_off(host_of(scene, handle).handle_id)


@pytest.mark.parametrize("hosts", [2, 8])
async def test_all_lost_at_once_stops_remedies_and_one_canary_goes_first(hosts: int) -> None:
    async with scene_of(hosts, LAZARET_STORM_QUIET="12") as scene:
        await _power_off_all(scene)

        async def storm() -> bool:
            rows = await scene.incidents()
            lost = [row for row in rows if row.incident_type == "server_unreachable"]
            return len(lost) == hosts and any(row.incident_type == "many_servers_lost" for row in rows)

        await scene.until("a storm is told", storm, timeout_s=60)
        assert [await scene.remedies(handle) for handle in scene.handles()] == [[]] * hosts, await scene.story()
        critical = [text for text in await scene.messages() if "unwell at once" in text]
        assert len(critical) == 1, "one incident tells why"

        async def canary() -> bool:
            return any([await scene.remedies(handle) for handle in scene.handles()])

        await scene.until("a canary goes", canary, timeout_s=60)
        begun = [handle for handle in scene.handles() if await scene.remedies(handle)]
        assert len(begun) == 1, "one goes first, alone"
        await scene.until_resolved(begun[0])
        for handle in scene.handles():
            await scene.until_resolved(handle, timeout_s=100)

        async def over() -> bool:
            return all(row.status == IncidentStatus.RESOLVED for row in await scene.incidents())

        await scene.until("the storm is over", over, timeout_s=30)
        assert all(acts(scene, handle).count("reboot") == 1 for handle in scene.handles())


async def test_an_observer_whose_own_network_is_cut_judges_nobody() -> None:
    async with scene_of(3, LAZARET_ANCHORS="127.255.0.9:9") as scene:
        from lazaret.lab.simulated_network import full_backlog

        plug = full_backlog("127.255.0.9", 9)  # the anchor falls silent, as everything does behind a cut cable
        try:
            await _power_off_all(scene)

            async def blind() -> bool:
                return any(row.incident_type == "observer_blind" for row in await scene.incidents())

            await scene.until("the monitor knows that it is blind", blind, timeout_s=40)
            await asyncio.sleep(8)
            assert {row.incident_type for row in await scene.incidents()} == {"observer_blind"}
            assert {(await scene.server(handle)).status for handle in scene.handles()} == {ServerStatus.READY}
        finally:
            for one in plug:
                one.close()
        for handle in scene.handles():
            await scene.lab.cloud.power_on(host_of(scene, handle).handle_id)

        async def sees() -> bool:
            return all(row.status == IncidentStatus.RESOLVED for row in await scene.incidents())

        await scene.until("it sees again", sees, timeout_s=40)
        assert [await scene.remedies(handle) for handle in scene.handles()] == [[], [], []]


async def test_a_worker_killed_in_the_middle_of_a_recovery_acts_no_second_time() -> None:
    async with scene_of(3) as scene:
        await scene.end("worker")
        lost = scene.handles()[0]
        for _ in range(3):
            process = await _worker(scene)
            await asyncio.sleep(0)
            if not await scene.incidents(lost):
                await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
                await scene.until_status(lost, ServerStatus.ERROR)
            await asyncio.sleep(5)
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        scene.begin("worker")
        await scene.until_resolved(lost, timeout_s=90)
        assert acts(scene, lost).count("reboot") == 1, await scene.story()
        assert acts(scene, lost).count("flushfirewall") == 1
        assert (await scene.server(lost)).status == ServerStatus.READY


async def test_a_dead_monitors_share_is_taken_over() -> None:
    async with scene_of(3) as scene:
        scene.begin("monitor-2")
        await asyncio.sleep(6)
        await scene.end("monitor")
        lost = scene.handles()[0]
        await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
        await scene.until_resolved(lost, timeout_s=60)


async def _worker(scene: Scene) -> asyncio.subprocess.Process:
    """A worker of its own process, on the scene's database."""
    settings = scene.office.settings
    environment = {
        "PATH": os.environ["PATH"],
        **scene.environment,
        "DATABASE_URL": scene.office.conninfo,
        "LAZARET_DATA_DIR": str(settings.lazaret_data_dir),
    }
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("lazaret")),
        "worker",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
