"""Recovery from end to end on simulated hosts: what is lost comes back, by the gentlest rung that helps."""

import pytest

from lazaret.servers.status import ServerStatus
from tests.integration.healing.conftest import Scene

pytestmark = pytest.mark.timeout(120)


async def test_power_lost_is_noticed_and_a_reboot_brings_it_back(scene: Scene) -> None:
    lost, *others = scene.handles()
    host = scene.lab.cloud.servers()[0]
    await scene.lab.cloud.power_off(host.server_id)
    incident = await scene.until_resolved(lost)
    assert (incident.incident_type, incident.cause) == ("server_unreachable", "silent")
    assert (await scene.remedies(lost))[-1] == "reboot helped", await scene.story()
    assert (await scene.server(lost)).status == ServerStatus.READY
    assert [await scene.incidents(other) for other in others] == [[], []]
