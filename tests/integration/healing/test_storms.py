"""Many lost at once stop all remedies, and who cannot see does not judge."""

import pytest
from sqlalchemy import select

from lazaret.healing.model import RemedyRun
from lazaret.incidents.model import IncidentStatus
from lazaret.servers.status import ServerStatus
from tests.healing_scene import Scene, scene_of
from tests.integration.healing.test_recovery import acts, host_of

pytestmark = pytest.mark.timeout(600)


async def _power_off_all(scene: Scene) -> None:
    for handle in scene.handles():
        await scene.lab.cloud.power_off(host_of(scene, handle).handle_id)


@pytest.mark.parametrize("hosts", [2, pytest.param(8, marks=pytest.mark.long)])  # eight real ones: acceptance
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
        assert await most_at_once(scene) <= 3


async def most_at_once(scene: Scene) -> int:
    """How many remedies were at work at the same moment, at most."""
    runs = await scene.rows(select(RemedyRun))
    return max(sum(run.begun_at <= one.begun_at < (run.ended_at or one.begun_at) for run in runs) for one in runs)


async def test_an_observer_whose_own_network_is_cut_judges_nobody() -> None:
    async with scene_of(3, LAZARET_ANCHORS="127.255.0.9:9") as scene:
        with scene.silent_at("127.255.0.9", 9):
            await _power_off_all(scene)

            async def blind() -> bool:
                return [row.incident_type for row in await scene.incidents()] == ["observer_blind"]

            await scene.until("the monitor knows that it is blind", blind, timeout_s=40)
            await scene.holds_for(8, blind)
            assert {(await scene.server(handle)).status for handle in scene.handles()} == {ServerStatus.READY}
        for handle in scene.handles():
            await scene.lab.cloud.power_on(host_of(scene, handle).handle_id)

        async def sees() -> bool:
            return all(row.status == IncidentStatus.RESOLVED for row in await scene.incidents())

        await scene.until("it sees again", sees, timeout_s=40)
        assert [await scene.remedies(handle) for handle in scene.handles()] == [[], [], []]
