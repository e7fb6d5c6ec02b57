"""The worker is killed with SIGKILL in each step and started again: ready, and nothing was asked for twice."""

import pytest

from lazaret.lab.calls import Call
from lazaret.operations.model import OperationStatus
from lazaret.provisioning.graph import STEPS
from lazaret.servers.status import ServerStatus
from tests.integration.faults.conftest import OPERATOR, Installation

PROVISION = [step.name for step in STEPS if step.name not in {"reinstall", "wait_for_reinstall"}]
REBUILD = ["load_details", "reinstall", "wait_for_reinstall", "wait_for_ssh", "pin_host_key", "install_access_key"]


async def kill_in_each(installation: Installation, steps: list[str]) -> int:
    """Kill the worker as each step begins, and start another; returns how often it died before the operation ended."""
    deaths = 0
    for step in steps:
        await installation.until_step(step)
        await installation.kill_worker()
        deaths += 1
        await installation.start_worker()
    return deaths


@pytest.mark.timeout(280)
async def test_new_server(installation: Installation) -> None:
    await installation.start_worker()
    assert await kill_in_each(installation, PROVISION) == len(PROVISION)
    operation = await installation.until_ended()
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert (await installation.server()).status == ServerStatus.READY
    assert installation.accepted(Call.RESET_PASSWORD) == 1
    assert installation.accepted(Call.REINSTALL) == 0


@pytest.mark.timeout(280)
async def test_rebuild(installation: Installation) -> None:
    await installation.start_worker()
    first = await installation.until_ended()
    assert first.status == OperationStatus.SUCCEEDED, first.error
    async with installation.office.db.transaction() as session:
        wanted = await installation.office.desk.rebuild(
            session, "vps-900001", OPERATOR, at=installation.office.clock.now()
        )
    await kill_in_each(installation, REBUILD)
    operation = await installation.until_ended()
    assert operation.id == wanted.id
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    server = await installation.server()
    assert server.status == ServerStatus.READY
    assert server.host_key_epoch == 2
    assert installation.accepted(Call.REINSTALL) == 1
    assert installation.accepted(Call.RESET_PASSWORD) == 1
