"""Faults of simulated hosts, seen from outside, by the control API and by the command line."""

import asyncio
import json

import asyncssh
import pytest
from typer.testing import CliRunner

from lazaret.lab import cli_faults, cli_options
from lazaret.lab.calls import Call
from lazaret.lab.cli import lab_app
from lazaret.lab.client import LabClient
from lazaret.lab.simulated_readings import reading_of

SEEN = {
    "power_off": "silence",
    "hang": "mute",
    "cut": "silence",
    "sshd_stopped": "refused",
    "lock_out": "silence",
    "disk_full": "SSH",
    "docker_stopped": "SSH",
    "host_key": "SSH",
    "wiped": "SSH",
}


async def seen(server) -> str:
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(server.address, server.ssh_port), 0.4)
    except TimeoutError:
        return "silence"
    except OSError:
        return "refused"
    try:
        return (await asyncio.wait_for(reader.read(3), 0.4)).decode()
    except (TimeoutError, ConnectionError):
        return "mute"
    finally:
        writer.close()


async def until_seen(server, wanted: str = "SSH") -> None:
    for _ in range(50):
        if (found := await seen(server)) == wanted:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(found)


async def host_key(server) -> str:
    found = await asyncssh.get_server_host_key(server.address, server.ssh_port, config=None)
    return found.get_fingerprint()


@pytest.fixture
def inflict(control, server):
    async def call(name: str, **parameters):
        return await control.post(f"/servers/{server.server_id}/faults", json={"name": name, **parameters})

    return call


@pytest.fixture
def heal(control, server):
    async def call(name: str = ""):
        path = f"/servers/{server.server_id}/faults" + (f"/{name}" if name else "")
        return await control.delete(path)

    return call


@pytest.mark.parametrize("name", SEEN)
async def test_a_fault_is_seen_and_healed(lab, control, server, inflict, heal, name):
    key, state = await host_key(server), lab.cloud.host(server.server_id).state.model_copy(deep=True)
    answer = await inflict(name)
    assert answer.status_code == 201, answer.text
    assert "memory" not in answer.json() and answer.json()["name"] == name
    await until_seen(server, SEEN[name])
    listed = (await control.get("/servers")).json()[0]["faults"]
    assert [one.split()[0] for one in listed] == [name]
    if name in ("host_key", "wiped"):
        assert await host_key(server) != key
    assert (await heal(name)).json() == {"healed": [name]}
    await until_seen(server)
    assert await host_key(server) == key
    after = lab.cloud.host(server.server_id).state
    passing = {"boot_id", "booted_at_s", "host_key"}
    assert after.model_dump(exclude=passing) == state.model_dump(exclude=passing)
    assert (await control.get("/faults")).json()["on"] == []
    journal = (await control.get("/journal", params={"kind": "control"})).json()["entries"]
    assert [one["action"] for one in journal] == ["add", "fault", "heal"]


async def test_readings_tell_of_docker_and_the_disk(lab, server, inflict):
    await inflict("disk_full")
    await inflict("docker_stopped")
    full = json.loads(reading_of(lab.cloud.host(server.server_id), full=True))["full"]
    assert full["disks"]["/"][0] == 99 and full["docker"]["running"] is False


@pytest.mark.parametrize(
    ("call", "over"),
    [
        (Call.REBOOT, {"hang", "sshd_stopped", "lock_out", "docker_stopped"}),
        (Call.FLUSH_FIREWALL, {"lock_out"}),
        (Call.REINSTALL, {"hang", "sshd_stopped", "lock_out", "docker_stopped", "disk_full", "host_key"}),
    ],
)
async def test_what_ends_by_nature_is_struck_out(lab, control, server, inflict, call, over):
    names = ["hang", "sshd_stopped", "lock_out", "docker_stopped", "disk_full", "host_key", "cut"]
    for name in names:
        assert (await inflict(name)).status_code == 201
    lab.cloud.order(call, server.server_id, {"os": server.os})
    await lab.cloud.settle()
    left = [one["name"] for one in (await control.get("/faults")).json()["on"]]
    assert left == [name for name in names if name not in over]


async def test_all_faults_are_healed_in_one_go(server, inflict, heal):
    for name in ("host_key", "disk_full", "cut", "power_off"):
        await inflict(name)
    assert (await heal()).json() == {"healed": ["host_key", "disk_full", "cut", "power_off"]}
    await until_seen(server)
    assert (await heal()).json() == {"healed": []}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"name": "gremlins"}, 422, "power_off"),
        ({}, 422, "power_off"),
        ([], 422, "object"),
        ({"name": "cut", "direction": "up"}, 422, "in, out or both"),
        ({"name": "hang", "for": 1}, 422, "no parameters"),
        ({"name": "loss", "percent": 30}, 409, "It can play power_off, hang, cut"),
        ({"name": "delay", "ms": 30}, 409, "cannot play 'delay'"),
        ({"name": "container_crashed"}, 409, "cannot play"),
        ({"name": "cut", "direction": "in"}, 409, "direction=both"),
        ({"name": "lock_out", "port": 80}, 409, "no port 80"),
    ],
)
async def test_what_cannot_be_inflicted_is_told(control, server, body, status, said):
    answer = await control.post(f"/servers/{server.server_id}/faults", json=body)
    problem = answer.json()
    assert answer.status_code == status and said in f"{problem['detail']} {problem['hint']}"
    assert (await control.get("/faults")).json()["on"] == []


async def test_wrong_places_and_times_are_told(control, server, inflict, heal):
    assert (await control.post("/servers/1/faults", json={"name": "hang"})).status_code == 404
    assert (await control.delete("/servers/1/faults")).status_code == 404
    assert (await heal("hang")).status_code == 404
    assert (await heal("gremlins")).status_code == 422
    assert (await control.post(f"/servers/{server.server_id}/faults", content=b"{")).status_code == 422
    await inflict("cut")
    assert (await inflict("cut")).status_code == 409
    assert (await inflict("wiped")).status_code == 409
    await inflict("power_off")
    answer = await inflict("hang")
    assert answer.status_code == 409 and "off" in answer.json()["detail"]


@pytest.fixture
def shell(lab, monkeypatch):
    """`lazaret lab ...` against the lab of this test, beside its event loop."""
    monkeypatch.setattr(cli_faults, "client_of", lambda *_: LabClient(lab.root_url))
    monkeypatch.setattr("lazaret.lab.cli.client_of", lambda *_: LabClient(lab.root_url))
    assert cli_options.client_of is not cli_faults.client_of

    async def run(*words: str):
        return await asyncio.to_thread(CliRunner().invoke, lab_app, list(words))

    return run


async def test_the_command_line_inflicts_lists_and_heals(shell):
    done = await shell("fault", "vps-900001", "cut", "direction=both")
    assert (done.exit_code, done.stdout.split()) == (0, ["vps-900001", "cut", "direction=both"])
    assert "[cut direction=both]" in (await shell("list")).stdout
    told = (await shell("faults")).stdout
    assert told.startswith("vps-900001  cut") and "percent=: chance of each packet" in told and "Only real" in told
    found = json.loads((await shell("faults", "--json")).stdout)
    assert [one["name"] for one in found["on"]] == ["cut"] and len(found["known"]) == 12
    healed = await shell("heal", "vps-900001")
    assert healed.exit_code == 0 and "Healed: cut." in healed.output
    assert "has no fault" in (await shell("heal", "vps-900001")).output
    assert "No server has a fault." in (await shell("faults")).stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["fault", "vps-900001", "gremlins"], 2, "Faults are"),
        (["fault", "vps-900001", "cut", "up"], 2, "not KEY=VALUE"),
        (["fault", "vps-900001", "cut", "direction=up"], 2, "in, out or both"),
        (["fault", "vps-1", "cut"], 2, "no server"),
        (["fault", "first", "cut"], 2, "no handle"),
        (["fault", "vps-900001"], 2, "FAULT"),
        (["fault", "vps-900001", "loss", "percent=3"], 1, "It can play"),
        (["heal", "vps-900001", "gremlins"], 2, "no fault"),
        (["heal", "vps-900001", "a/b"], 2, "Faults are"),
        (["heal", "vps-900001", "cut"], 2, "It has none"),
        (["heal", "vps-1"], 2, "no server"),
    ],
)
async def test_wrong_words_on_the_command_line_end_with_what_is_possible(shell, words, status, said):
    done = await shell(*words)
    assert done.exit_code == status and said in done.output
