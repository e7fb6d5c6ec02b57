"""The contract of `ConfigurationRunner`: Ansible on a real Debian host and the simulated runner on a simulated one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import pytest_asyncio

from lazaret.adapters.ansible import AnsibleRunner
from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.adapters.ssh.access_key import load_or_create_access_key
from lazaret.lab.instance import Lab
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.lab.simulated import SimulatedHost
from lazaret.lab.simulated_configuration import SimulatedConfigurationRunner
from lazaret.lab.simulated_network import full_backlog
from lazaret.provisioning.context import AccessKey
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import (
    ConfigurationRunner,
    PlaybookNotFound,
    PlaybookResult,
    PlaybookTimeout,
    TaskEvent,
    TaskState,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
MISSING = missing_for_real_hosts()
KINDS = [
    "simulated",
    pytest.param(
        "ansible", marks=[pytest.mark.real_host, pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))]
    ),
]


@dataclass
class Rig:
    """A runner, and a host that takes the key."""

    runner: ConfigurationRunner
    endpoint: SshEndpoint
    host_keys: tuple[str, ...]
    key: AccessKey
    events: list[TaskEvent] = field(default_factory=list)

    async def play(self, playbook: str, *, timeout_s: float = 120, **changed: Any) -> PlaybookResult:
        self.events = []

        async def hear(event: TaskEvent) -> None:
            self.events.append(event)

        variables = {
            "server_handle": "vps-1",
            "server_hostname": "one.example",
            "ssh_public_key": self.key.public_key.strip(),
            "ssh_port": self.endpoint.port,
            "baseline_version": "contract",
        }
        wanted = {"host_keys": self.host_keys, "private_key": self.key.private_key} | changed
        endpoint = wanted.pop("endpoint", self.endpoint)
        return await self.runner.run(
            playbook, endpoint, variables=variables, on_event=hear, timeout_s=timeout_s, **wanted
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    directory = tmp_path_factory.mktemp("contract")
    key = load_or_create_access_key(directory, private_key_path=None, public_key=None)
    is_real = request.param == "ansible"
    state_dir = directory / "lab" if is_real else None
    async with Lab(name="contract", hosts=1, simulated=not is_real, state_dir=state_dir) as lab:
        (server,) = lab.cloud.servers()
        host = lab.cloud.host(server.server_id)
        assert isinstance(host, NspawnHost | SimulatedHost)
        await host.install_root_key(key.public_key)
        endpoint = SshEndpoint(server.address, server.ssh_port)
        host_keys = await AsyncSshAccess().read_host_keys(endpoint)
        runner = AnsibleRunner() if is_real else SimulatedConfigurationRunner(baseline_version="contract", task_s=0.01)
        yield Rig(runner, endpoint, host_keys, key)


async def test_what_does_not_exist_is_said(rig: Rig) -> None:
    with pytest.raises(PlaybookNotFound, match="paint_it_blue"):
        await rig.play("paint_it_blue")


async def test_a_check_changes_nothing_and_reports(rig: Rig) -> None:
    result = await rig.play("health_check")
    assert (result.ok, result.changed, result.error, result.unreachable) == (True, 0, "", False)
    assert result.report, "its structured result"
    assert result.duration_s > 0


async def test_events_tell_each_task_in_order_and_the_second_run_changes_nothing(rig: Rig) -> None:
    first = await rig.play("provision_server")
    assert first.ok, first.error
    assert first.changed > 0
    shown = [event for event in rig.events if event.total]
    assert {event.state for event in shown} >= {TaskState.STARTED, TaskState.CHANGED}
    assert [event.position for event in shown] == sorted(event.position for event in shown)
    assert len({event.total for event in shown}) == 1
    assert shown[-1].position <= shown[-1].total
    assert all(event.at.utcoffset() is not None for event in shown)
    again = await rig.play("provision_server")
    assert (again.ok, again.changed) == (True, 0), again


async def test_a_stranger_is_not_spoken_to(rig: Rig) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    result = await rig.play("health_check", host_keys=[" ".join(other.split()[:2])])
    assert (result.ok, result.unreachable) == (False, True)
    assert result.error


async def test_nobody_there_is_unreachable(rig: Rig) -> None:
    nobody = SshEndpoint("127.0.0.1", 9)
    result = await rig.play("health_check", endpoint=nobody)
    assert (result.ok, result.unreachable, result.changed) == (False, True, 0)
    assert result.error


async def test_a_key_that_is_not_let_in_is_unreachable(rig: Rig, tmp_path: Path) -> None:
    other = load_or_create_access_key(tmp_path, private_key_path=None, public_key=None)
    result = await rig.play("health_check", private_key=other.private_key)
    assert (result.ok, result.unreachable) == (False, True)


async def test_too_long_is_stopped(rig: Rig) -> None:
    silent = SshEndpoint("127.255.0.77", 9)
    plug = full_backlog(silent.address, silent.port)
    try:
        with pytest.raises(PlaybookTimeout):
            await rig.play("health_check", endpoint=silent, timeout_s=1)
    finally:
        for one in plug:
            one.close()
