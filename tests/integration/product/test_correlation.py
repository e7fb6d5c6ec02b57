"""One request followed by its id through the log: from the answer to the calls that its operation made."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lazaret.lab.instance import Lab
from tests.integration.product.conftest import Shell, Up, start_up

ID = "change-request-17"


@pytest.fixture
async def up(shell: Shell) -> AsyncIterator[Up]:
    async with Lab(name=f"c{os.getpid()}", hosts=1, time_scale=0.005) as lab:
        shell.environment |= lab.environment() | {"LAZARET_LOG_FORMAT": "json", "SERVER_SYNC_INTERVAL": "1"}
        running = await start_up(shell)
        async with running.client() as client:
            await _until_ready(client)
        yield running
        assert await running.end() == 0


async def _until_ready(client: Any) -> None:
    async with asyncio.timeout(90):
        while (await client.get("/api/servers/?status=ready")).json()["total"] != 1:
            await asyncio.sleep(0.2)


def lines_of(up: Up) -> list[dict[str, Any]]:
    return [json.loads(line) for line in up.log.read_text().splitlines() if line.startswith("{")]


async def test_from_the_request_to_the_provider(shell: Shell, up: Up) -> None:
    async with up.client() as client:
        asked = await client.patch(
            "/api/servers/vps-900001", json={"status": "force_rebuild"}, headers={"X-Request-ID": ID}
        )
        assert asked.status_code in {200, 202}, asked.text
        operations = (await client.get("/api/operations/?server_handle=vps-900001")).json()["items"]
        (operation,) = [one for one in operations if one["params"].get("request_id") == ID]
        async with asyncio.timeout(90):
            while operation["status"] != "succeeded":
                await asyncio.sleep(0.2)
                operation = (await client.get(f"/api/operations/{operation['id']}")).json()

    found = [line for line in lines_of(up) if line.get("request_id") == ID]
    answered = [line for line in found if line["event"] == "api.answered"]
    assert [(one["method"], one["route"], one["handle"]) for one in answered] == [
        ("PATCH", "/api/servers/{handle}", "vps-900001")
    ]
    called = [line for line in found if line["event"] == "provider.answered"]
    assert [(one["method"], one["path"]) for one in called] == [("POST", "/server/900001/reinstall")]
    for line in called:
        assert (line["operation"], line["handle"], line["kind"]) == (operation["id"], "vps-900001", "rebuild")
    others = [line for line in lines_of(up) if line.get("request_id") not in {ID, None} and line.get("operation")]
    assert not others, "its own operation has the id of no other request"


async def test_a_command_has_an_id_too(shell: Shell, up: Up) -> None:
    assert (await shell.run("provision", "vps-900001", "--converge", "--follow", timeout_s=90)).code == 0
    entries = json.loads((await shell.run("audit", "operation.provision", "--json")).out)
    newest = entries[0]["details"]["request_id"]
    assert newest.startswith("cli-")
    assert [line for line in lines_of(up) if line.get("request_id") == newest], "what the worker wrote has it"
