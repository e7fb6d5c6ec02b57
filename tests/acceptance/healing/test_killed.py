"""A recovery ends once and right on a real host, though our own parts die in the middle of it."""

import os
import signal

from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, healed, serving, trouble
from tests.database import kill_and_restart

SERVERS = 1
pytestmark = ON_REAL_HOSTS


async def test_worker_monitor_and_postgresql_killed_in_the_middle(ward: Ward) -> None:
    handle, port = await serving(ward)
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
    assert len(ward.reboots(handle)) == 1, await ward.scene.story()
