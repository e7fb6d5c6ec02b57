"""The database restarts in the middle of a run, several workers share the work, a worker is asked to stop."""

import asyncio

import pytest

from lazaret.lab import switches
from lazaret.lab.calls import Call
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.database import kill_and_restart
from tests.integration.faults.conftest import Installation


async def test_database_restarted_in_the_middle(installation: Installation) -> None:
    installation.lab.switches.set(switches.TaskHangs(call=Call.RESET_PASSWORD))
    await installation.start_worker()
    await installation.until_step("wait_for_password")
    installation.lost_its_database = True
    await kill_and_restart(installation.conninfo)
    installation.lab.switches.clear()
    installation.lab.cloud.end_task(900001)
    operation = await installation.until_ended()
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert (await installation.server()).status == ServerStatus.READY
    assert installation.accepted(Call.RESET_PASSWORD) == 1


@pytest.mark.timeout(120)
async def test_two_workers_never_have_the_same_server(installation: Installation) -> None:
    for _ in range(2):
        await installation.lab.add_server()
    installation.environment["TIME4VPS_MANAGED_SERVER_IDS"] = "900001,900002,900003"
    await installation.start_worker()
    first = installation.worker
    await installation.start_worker()
    for handle in ("vps-900001", "vps-900002", "vps-900003"):
        operation = await installation.until_ended(handle=handle)
        assert (operation.status, operation.attempt) == (OperationStatus.SUCCEEDED, 1), operation.error
    assert installation.accepted(Call.RESET_PASSWORD) == 3
    assert first is not None
    first.terminate()
    assert await asyncio.wait_for(first.wait(), 15) == 0


async def test_a_stopped_worker_hands_back(installation: Installation) -> None:
    installation.lab.switches.set(switches.TaskHangs(call=Call.RESET_PASSWORD))
    await installation.start_worker()
    await installation.until_step("wait_for_password")
    assert await installation.stop_worker() == 0
    operation = await installation.operation()
    assert (operation.status, operation.lease) == (OperationStatus.QUEUED, None)
    installation.lab.switches.clear()
    installation.lab.cloud.end_task(900001)
    await installation.start_worker()
    ended = await installation.until_ended()
    assert (ended.status, ended.attempt) == (OperationStatus.SUCCEEDED, 1), ended.error
    assert installation.accepted(Call.RESET_PASSWORD) == 1
