"""The plan's script against a running Lazaret and a lab: ready again, exactly one reinstall; a ghost is refused."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lazaret.lab.instance import Lab
from tests.integration.product.conftest import Shell, Up, start_up

SCRIPT = str(Path(__file__).parents[3] / "test_force_rebuild.sh")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with Lab(name=f"s{os.getpid()}", hosts=2, time_scale=0.005) as running:
        yield running


@pytest.fixture
async def up(shell: Shell, lab: Lab) -> AsyncIterator[Up]:
    shell.environment |= lab.environment() | {"TIME4VPS_MANAGED_SERVER_IDS": "900001", "SERVER_SYNC_INTERVAL": "1"}
    running = await start_up(shell)
    async with running.client() as client, asyncio.timeout(60):
        while (await client.get("/api/servers/?status=ready")).json()["total"] != 1:
            await asyncio.sleep(0.2)
    yield running
    assert await running.end() == 0


async def run_script(shell: Shell, up: Up, *arguments: str) -> tuple[int, str]:
    environment = shell.whole_environment | {"LAZARET_TOKEN": up.token, "LAZARET_URL": up.url, "PATIENCE_S": "60"}
    process = await asyncio.create_subprocess_exec(
        SCRIPT, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_script(shell: Shell, up: Up, lab: Lab) -> None:
    code, said = await run_script(shell, up, "vps-900001")
    assert code == 0, said
    assert "vps-900001 is ready." in said
    assert len(lab.journal.entries(kind="call", action="reinstall", outcome="accepted")) == 1
    code, said = await run_script(shell, up, "vps-900002")
    assert (code, "not managed" in said) == (1, True), said
    assert len(lab.journal.entries(kind="call", action="reinstall")) == 1
    assert await run_script(shell, up, "vps-900001", "--keep-os") != (2, "")
    assert len(lab.journal.entries(kind="call", action="reinstall")) == 1


async def test_rebuild_by_command_line(shell: Shell, up: Up, lab: Lab) -> None:
    refused = await shell.run("rebuild", "vps-900002", "--confirm", "vps-900002")
    assert (refused.code, "not managed" in refused.err) == (1, True), refused
    for typed in ([], ["--confirm", "vps-900002"]):
        unsure = await shell.run("rebuild", "vps-900001", *typed)
        assert (unsure.code, "needs the handle a second time" in unsure.err) == (2, True), unsure
    done = await shell.run("rebuild", "vps-900001", "--confirm", "vps-900001", "--follow")
    assert done.code == 0, done
    assert len(lab.journal.entries(kind="call", action="reinstall", outcome="accepted")) == 1
    again = await shell.run("provision", "vps-900001", "--converge", "--follow")
    assert again.code == 0, again
