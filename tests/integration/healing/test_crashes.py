"""Worker, monitor and PostgreSQL die in the middle of a recovery: it ends once and right."""

import asyncio
import os
import signal
from datetime import datetime

import pytest
from sqlalchemy import select

from lazaret.probing.model import ServerHealth
from lazaret.servers.status import ServerStatus
from tests.database import kill_and_restart
from tests.healing_scene import scene_of
from tests.integration.healing.test_recovery import acts, host_of

pytestmark = pytest.mark.timeout(600)


async def test_a_worker_killed_in_the_middle_of_a_recovery_acts_no_second_time() -> None:
    async with scene_of(3) as scene:
        await scene.end("worker")
        lost = scene.handles()[0]
        for _ in range(3):
            process = await scene.worker_process()
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


async def test_postgresql_killed_in_the_middle_of_a_recovery_costs_only_time() -> None:
    async with scene_of(3) as scene:
        lost = scene.handles()[0]
        await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)

        async def begun() -> bool:
            return bool(await scene.remedies(lost))

        await scene.until("a remedy has begun", begun)
        await kill_and_restart(scene.office.conninfo)
        await scene.until_resolved(lost, timeout_s=90)
        assert acts(scene, lost).count("reboot") == 1, await scene.story()
        assert acts(scene, lost).count("flushfirewall") == 1
        assert [task.done() for task in scene.tasks.values()] == [False, False], "worker and monitor live on"
        await scene.until_watched()


async def test_a_killed_monitors_share_is_taken_over_within_thirty_seconds() -> None:
    async with scene_of(6) as scene:
        await scene.end("monitor")
        process = await scene.process("monitor")
        before = scene.office.clock.now()

        async def watched_since(moment: datetime) -> bool:
            rows = await scene.rows(select(ServerHealth.updated_at))
            return len(rows) == 6 and all(at > moment for at in rows)

        await scene.until("the process watches all", lambda: watched_since(before))
        scene.begin("monitor")
        process.kill()
        await process.wait()
        await asyncio.sleep(1)  # what it had sent is written by now
        killed_at = scene.office.clock.now()
        await scene.until("somebody else watches all", lambda: watched_since(killed_at), timeout_s=29)


async def test_a_dead_monitors_share_is_taken_over() -> None:
    async with scene_of(3) as scene:
        scene.begin("monitor-2")
        await asyncio.sleep(6)
        await scene.end("monitor")
        lost = scene.handles()[0]
        await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
        await scene.until_resolved(lost, timeout_s=60)
