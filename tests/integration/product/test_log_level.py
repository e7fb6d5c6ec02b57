"""A running process logs more for a while, without a restart, and goes back by itself."""

import asyncio
import json

import pytest

from tests.integration.product.conftest import Shell, Up


async def logs_reading(up: Up) -> bool:
    """Whether a request that only reads is logged now, which the level debug alone does."""
    before = up.log.read_text().count("api.answered")
    async with up.client() as client:
        await client.get("/api/servers/")
    await asyncio.sleep(0.2)
    return up.log.read_text().count("api.answered") > before


async def until_it_logs(up: Up, wanted: bool) -> None:
    async with asyncio.timeout(90):
        while await logs_reading(up) is not wanted:
            await asyncio.sleep(0.2)


async def test_log_level(shell: Shell, up: Up) -> None:
    assert not await logs_reading(up)
    asked = await shell.run("log-level", "debug", "--process", "up", "--for", "60s")
    assert (asked.code, "up on" in asked.out, "debug until" in asked.out) == (0, True, True), asked
    await until_it_logs(up, True)
    shown = json.loads((await shell.run("processes", "--json")).out)
    assert [one["log_level"] for one in shown] == ["debug"]
    await until_it_logs(up, False)
    assert (await shell.run("log-level", "error")).code == 0
    assert (await shell.run("log-level", "configured")).code == 0
    shown = json.loads((await shell.run("processes", "--json")).out)
    assert [one["log_level"] for one in shown] == [None]
    entries = json.loads((await shell.run("audit", "log_level.set", "--json")).out)
    assert [one["details"]["level"] for one in entries] == ["configured", "error", "debug"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["debug"], 2, "No process of Lazaret runs"),
        (["loud"], 2, "loud"),
        (["debug", "--for", "soon"], 2, "no length of time"),
        (["debug", "--for", "2d"], 2, "longer than a day"),
    ],
)
async def test_wrong_use(shell: Shell, conninfo: str, arguments: list[str], code: int, says: str) -> None:
    shell.environment["DATABASE_URL"] = conninfo
    finished = await shell.run("log-level", *arguments)
    assert (finished.code, says in " ".join((finished.err + finished.out).split())) == (code, True), finished
