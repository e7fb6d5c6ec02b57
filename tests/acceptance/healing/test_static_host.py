"""One real host that stands in a file and belongs to no account: set up by its password, healed in place, handed over.

In this order; each test leaves all well.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from sqlalchemy import select

from lazaret.incidents.model import IncidentStatus
from lazaret.operations.model import Operation, OperationStatus, ProviderCall
from lazaret.servers.status import ServerStatus
from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, trouble
from tests.healing_scene import Scene, scene_of

pytestmark = ON_REAL_HOSTS


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward() -> AsyncIterator[Ward]:
    async with scene_of(1, simulated=False, static=1, left_logins=False, LAZARET_REMEDY_PATIENCE="0.4") as scene:
        yield Ward(scene)


async def lazaret(scene: Scene, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """A command as a person types it; returns its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("lazaret")),
        *arguments,
        env={
            "PATH": os.environ["PATH"],
            **scene.environment,
            "DATABASE_URL": scene.office.conninfo,
            "LAZARET_DATA_DIR": str(scene.office.settings.lazaret_data_dir),
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate(stdin.encode())
    return process.returncode or 0, said.decode()


async def test_set_up_by_the_root_password_that_a_person_gives(ward: Ward) -> None:
    (handle,) = ward.handles
    assert handle.startswith("host-")

    async def asks() -> bool:
        rows = await ward.scene.rows(select(Operation))
        return [(row.status, row.waiting_for) for row in rows] == [(OperationStatus.WAITING, "root_password")]

    await ward.scene.until("a person is asked for the password", asks, timeout_s=60)
    (server,) = ward.scene.lab.cloud.servers()
    password = server.root_password.get_secret_value()
    code, said = await lazaret(ward.scene, "provision", handle, "--root-password-stdin", stdin=password + "\n")
    assert code == 0, said
    await ward.scene.until_watched(timeout_s=300)
    row = await ward.scene.server(handle)
    assert (row.status, row.provider, row.host_key_epoch) == (ServerStatus.READY, "static", 1)
    assert (await ward.inside(handle, "hostname")).strip() == row.host, "as the file calls it"
    assert "passwordauthentication no" in await ward.inside(handle, "sshd -T"), "the password opens nothing any more"


async def test_a_reinstall_is_refused_with_its_reason(ward: Ward) -> None:
    (handle,) = ward.handles
    before = await ward.scene.operations(handle)
    code, said = await lazaret(ward.scene, "rebuild", handle, "--confirm", handle)
    assert (code, "has no such function" in said, "--keep-os" in said) == (1, True, True), said
    assert len(await ward.scene.operations(handle)) == len(before)


async def test_docker_stopped_is_mended_in_place(ward: Ward) -> None:
    (handle,) = ward.handles
    await ward.inside(handle, "systemctl stop docker.socket docker.service")
    incident = await trouble(ward, handle)
    await ward.scene.until_resolved(handle, timeout_s=90)
    assert await ward.remedies_for(incident.id) == ["restart_docker helped"], await ward.scene.story()
    await ward.inside(handle, "docker info >/dev/null")
    await ward.settle()


async def test_power_lost_is_handed_over_and_over_when_somebody_switches_it_on(ward: Ward) -> None:
    (handle,) = ward.handles
    await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)

    async def handed_over() -> bool:
        return [row.status for row in (await ward.scene.incidents(handle))[-1:]] == [IncidentStatus.FAILED]

    await ward.scene.until("handed over", handed_over, timeout_s=90)
    incident = (await ward.scene.incidents(handle))[-1]
    assert await ward.remedies_for(incident.id) == []
    assert ward.reboots(handle) == [] == await ward.scene.rows(select(ProviderCall))
    code, said = await lazaret(ward.scene, "why", handle)
    assert code == 0
    assert "left out with the provider static: flush_firewall, reboot, reinstall" in said, said
    await ward.scene.lab.cloud.power_on(ward.host(handle).handle_id)
    await ward.scene.until_resolved(handle, timeout_s=120)
    await ward.scene.until_status(handle, ServerStatus.READY)
    await ward.settle()


async def test_set_up_from_the_start_keeps_the_system(ward: Ward) -> None:
    (handle,) = ward.handles
    await ward.inside(handle, "touch /root/kept")
    code, said = await lazaret(ward.scene, "rebuild", handle, "--keep-os")
    assert code == 0, said
    operation = await ward.ended((await ward.scene.operations(handle))[-1].id)
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    await ward.inside(handle, "test -e /root/kept")
    assert (await ward.scene.server(handle)).status == ServerStatus.READY
