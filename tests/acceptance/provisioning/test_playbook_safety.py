"""The playbook on a real host when something is wrong: it says what, changes nothing, or takes back what it risked.

One host for all, in this order: a full disk, a run that dies in the middle, the same run again, a held apt lock.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from lazaret.adapters.ansible import AnsibleRunner
from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.adapters.ssh.access_key import load_or_create_access_key
from lazaret.lab.instance import Lab
from lazaret.provisioning.context import AccessKey
from lazaret.provisioning.steps.install_access_key import SCRIPT
from lazaret.servers.access import CommandResult, KeyLogin, PasswordLogin, SshEndpoint
from lazaret.servers.configuration import PlaybookResult, TaskEvent, TaskState
from tests.acceptance.provisioning.conftest import MISSING

pytestmark = [
    pytest.mark.real_host,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

ROLLBACK_S = 6
HOLD_LOCK = """import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    time.sleep(12)
"""


def kill_ansible() -> None:
    """SIGKILL to every ansible-playbook below this process: no handler, no clean-up, no next task."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "ansible-playbook" in " ".join(process.cmdline()):
                process.kill()


class Died(Exception):
    """The controller is gone."""


@dataclass(slots=True)
class Host:
    """A fresh host on which our key is installed and nothing else was done."""

    endpoint: SshEndpoint
    host_keys: tuple[str, ...]
    key: AccessKey
    access: AsyncSshAccess

    async def say(self, command: str, *, stdin: str = "") -> CommandResult:
        login = KeyLogin(self.key.private_key)
        async with self.access.connect(self.endpoint, host_keys=self.host_keys, login=login) as session:
            return await session.run(command, stdin=stdin, timeout_s=60)

    async def provision(self, *, die_after: str = "") -> PlaybookResult:
        async def listen(event: TaskEvent) -> None:
            if die_after and event.task.startswith(die_after) and event.state is TaskState.CHANGED:
                kill_ansible()
                raise Died

        return await AnsibleRunner().run(
            "provision_server",
            self.endpoint,
            host_keys=self.host_keys,
            private_key=self.key.private_key,
            variables={
                "server_hostname": "safety.example",
                "ssh_public_key": self.key.public_key,
                "rollback_timeout_s": ROLLBACK_S,
                "baseline_version": "test",
            },
            on_event=listen,
            timeout_s=200,
        )

    async def offers_password(self) -> bool:
        return await self.access.offers_password_login(self.endpoint, host_keys=self.host_keys)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host() -> AsyncIterator[Host]:
    with tempfile.TemporaryDirectory(prefix="lazaret-safety-") as directory:
        async with Lab(name=f"p{os.getpid()}", hosts=1, simulated=False, state_dir=Path(directory) / "lab") as lab:
            server = lab.cloud.servers()[0]
            access = AsyncSshAccess()
            endpoint = SshEndpoint(server.address)
            key = load_or_create_access_key(Path(directory), private_key_path=None, public_key=None)
            host_keys = await access.read_host_keys(endpoint)
            login = PasswordLogin(server.root_password)
            async with access.connect(endpoint, host_keys=host_keys, login=login) as session:
                assert (await session.run(SCRIPT, stdin=key.public_key + "\n")).ok
            yield Host(endpoint, host_keys, key, access)


async def test_a_full_disk_changes_nothing_and_names_the_cure(host: Host) -> None:
    before = (await host.say("cat /etc/hostname; find /etc -newer /etc/hostname | wc -l")).stdout
    await host.say("fallocate -l $(( $(df --output=avail -B1 / | tail -1) - 500000000 )) /ballast")
    result = await host.provision()
    assert not result.ok
    assert result.report["preflight_failed"] is True
    assert "MB free" in result.error and "Cure" in result.error
    await host.say("rm /ballast")
    assert (await host.say("cat /etc/hostname; find /etc -newer /etc/hostname | wc -l")).stdout == before


async def test_a_conflict_about_keys_changes_nothing_and_names_the_cure(host: Host) -> None:
    restricted = f'command="/bin/true" {host.key.public_key}'
    await host.say("cp -p /root/.ssh/authorized_keys /root/kept; cat >> /root/.ssh/authorized_keys", stdin=restricted)
    before = (await host.say("find /etc -newer /etc/hostname | wc -l")).stdout
    result = await host.provision()
    assert result.report["preflight_failed"] is True
    assert "restrictions" in result.error and "Cure" in result.error
    assert (await host.say("find /etc -newer /etc/hostname | wc -l")).stdout == before
    await host.say("mv /root/kept /root/.ssh/authorized_keys")


async def test_a_run_that_dies_leaves_the_host_reachable(host: Host) -> None:
    with pytest.raises(Died):
        await host.provision(die_after="Guard sshd")
    assert not await host.offers_password(), "the risky changes were made"
    await asyncio.sleep(ROLLBACK_S + 4)
    assert await host.offers_password(), "and taken back, because no second login proved them"
    state = await host.say("ufw status; ls /etc/ssh/sshd_config.d/; systemctl is-active lazaret-rollback.timer")
    assert "Status: inactive" in state.stdout
    assert "00-lazaret.conf" not in state.stdout
    assert state.stdout.strip().endswith("inactive")


async def test_the_next_run_goes_on_and_keeps_its_changes(host: Host) -> None:
    result = await host.provision()
    assert result.ok, result.error
    await asyncio.sleep(ROLLBACK_S + 2)
    assert not await host.offers_password()
    assert "Status: active" in (await host.say("ufw status")).stdout


async def test_a_held_apt_lock_is_waited_for(host: Host) -> None:
    await host.say(
        "cat > /tmp/hold.py; setsid python3 /tmp/hold.py >/dev/null 2>&1 </dev/null & sleep 1", stdin=HOLD_LOCK
    )
    begun = time.monotonic()
    result = await host.provision()
    assert result.ok, result.error
    assert result.changed == 0
    assert time.monotonic() - begun > 10
