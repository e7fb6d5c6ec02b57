"""Hosts from a file as a user meets them: `up`, `servers`, `why`, `rebuild`, and the API."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from tests.integration.product.conftest import Shell, start_up

HOST = {"id": 1, "name": "web-1", "address": "127.77.0.1", "port": 9, "managed": True}


@pytest.fixture
def hosts_file(shell: Shell) -> Path:
    path = shell.directory / "hosts.yml"
    shell.environment["LAZARET_STATIC_HOSTS_FILE"] = str(path)
    return path


def write(path: Path, *hosts: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump({"hosts": list(hosts)}))
    path.chmod(0o644)


async def test_a_host_on_every_channel(shell: Shell, hosts_file: Path) -> None:
    write(hosts_file, HOST, HOST | {"id": 2, "name": "db-1", "address": "127.77.0.2", "managed": False})
    up = await start_up(shell)
    try:
        screen = up.log.read_text()
        assert f"the hosts of {hosts_file}" in screen and "host-1" in screen and "host-2" not in screen
        async with up.client() as client, asyncio.timeout(100):
            while "wait_for_ssh" not in (await client.get("/api/operations/")).text:
                await asyncio.sleep(0.2)
            answer = (await client.get("/api/servers/host-1")).json()
            assert (answer["provider"], answer["provider_id"], answer["capabilities"]) == ("static", 1, [])
            refused = await client.patch("/api/servers/host-1", json={"status": "force_rebuild"})
            assert (refused.status_code, refused.json()["code"]) == (409, "cannot_reinstall"), refused.text
        rows = json.loads((await shell.run("servers", "--json")).out)
        assert {row["handle"]: (row["status"], row["provider"], row["capabilities"]) for row in rows} == {
            "host-1": ("provisioning", "static", []),
            "host-2": ("reserved", "static", []),
        }
        rebuild = await shell.run("rebuild", "host-1", "--confirm", "host-1")
        assert (rebuild.code, "has no such function" in rebuild.err, "--keep-os" in rebuild.err) == (1, True, True)
        unconfirmed = await shell.run("rebuild", "host-1")
        assert "has no such function" in unconfirmed.err, "nobody is asked to confirm what cannot be"
        why = (await shell.run("why", "host-1")).out
        assert "cannot reboot, reset_password, reinstall, flush_firewall" in why and "wait_for_ssh" in why
        ghost = await shell.run("provision", "host-2")
        assert ghost.code == 1 and "managed: true" in ghost.err and "id 2" in ghost.err
        hosts_file.write_text("hosts: [")
        shut = await shell.run("provision", "host-1", "--root-password-stdin", stdin="some-password-of-root\n")
        assert shut.code == 1 and "not managed" in shut.err, "a file that cannot be read allows nothing"
        statuses = json.loads((await shell.run("servers", "--json")).out)
        assert {row["handle"]: row["is_managed"] for row in statuses} == {"host-1": True, "host-2": False}
    finally:
        await up.end()
