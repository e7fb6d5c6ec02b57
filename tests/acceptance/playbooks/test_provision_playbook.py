"""The playbook on a real host, without Lazaret around it: converged, converged again, attacked, seen from outside.

One host for all, in this order. What goes wrong before and in the middle is in `provisioning/test_playbook_safety.py`.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio
from pydantic import SecretStr

from lazaret.adapters.ansible import AnsibleRunner
from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.lab.instance import wait_for_port
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.nspawn_rack import NspawnRack
from lazaret.lab.requirements import missing_requirements
from lazaret.lab.servers import DEBIAN_13
from lazaret.playbooks import DIRECTORY
from lazaret.servers.access import CommandResult, KeyLogin, PortState, SshEndpoint
from lazaret.servers.configuration import PlaybookResult, TaskEvent, TaskState

MISSING = missing_requirements()
pytestmark = [
    pytest.mark.real_host,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

ROLLBACK_S = 20
COMMENT = "lazaret"
WEB = """set -eu
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/; echo hello > /tmp/image/www/index.html
tar -C /tmp/image -c . | docker import - test/web:1 >/dev/null
docker run -d --name web --restart unless-stopped -p 8080:9000 test/web:1 /bin/busybox httpd -f -p 9000 -h /www
"""
ROLE = """- name: Leave a mark
  ansible.builtin.copy: {content: "mine\\n", dest: /etc/own-role, mode: "0644"}
  notify: Leave another
"""
ROLE_HANDLERS = """- name: Leave another
  ansible.builtin.copy: {content: "mine\\n", dest: /etc/own-handler, mode: "0644"}
"""
HOLD_LOCK = """import fcntl, os, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    open("/tmp/holds", "w").close()
    while os.path.exists("/tmp/holds"):
        time.sleep(0.2)
"""


@dataclass(slots=True)
class Stage:
    """A host on which only our key is installed."""

    host: NspawnHost
    directory: Path
    public_key: str
    host_keys: tuple[str, ...]
    access: AsyncSshAccess
    events: list[TaskEvent] = field(default_factory=list)

    @property
    def key(self) -> Path:
        return self.directory / "key"

    @property
    def endpoint(self) -> SshEndpoint:
        return SshEndpoint(self.host.address)

    async def say(self, command: str, *, stdin: str = "") -> CommandResult:
        login = KeyLogin(self.key)
        async with self.access.connect(self.endpoint, host_keys=self.host_keys, login=login) as session:
            return await session.run(command, stdin=stdin, timeout_s=90)

    async def provision(self) -> PlaybookResult:
        self.events.clear()

        async def keep(event: TaskEvent) -> None:
            self.events.append(event)

        return await AnsibleRunner().run(
            "provision_server",
            self.endpoint,
            host_keys=self.host_keys,
            private_key=self.key,
            variables={
                "server_hostname": "web1.example",
                "ssh_public_key": self.public_key,
                "baseline_version": "test",
                "rollback_timeout_s": ROLLBACK_S,
                "provision_extra_roles": ["own"],
                "provision_roles_path": str(self.directory / "roles"),
            },
            on_event=keep,
            timeout_s=200,
        )

    async def module(self, name: str, **arguments: object) -> str:
        """Run one of our modules by itself, as a playbook of tomorrow would."""
        known = self.directory / "known_hosts"
        known.write_text("".join(f"{self.host.address} {key}\n" for key in self.host_keys))
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("ansible")),
            *("all", "-i", f"{self.host.address},", "-u", "root", "--private-key", str(self.key)),
            f"--ssh-common-args=-o UserKnownHostsFile={known}",
            *("-m", name, "-a", json.dumps(arguments)),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.directory),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_CONFIG": str(DIRECTORY / "ansible.cfg"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out.decode()
        return out.decode()

    async def port(self, number: int) -> PortState:
        return await self.access.probe_port(self.host.address, number, timeout_s=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    directory = tmp_path_factory.mktemp("playbook")
    key = asyncssh.generate_private_key("ssh-ed25519", comment=COMMENT)
    (directory / "key").write_bytes(key.export_private_key())
    (directory / "key").chmod(0o600)
    public_key = key.export_public_key().decode().strip()
    for name, content in (("tasks", ROLE), ("handlers", ROLE_HANDLERS)):
        (directory / "roles" / "own" / name).mkdir(parents=True)
        (directory / "roles" / "own" / name / "main.yml").write_text(content)
    rack = NspawnRack(name=f"q{os.getpid()}", directory=directory / "hosts")
    try:
        await rack.up()
        host = await rack.new_host(900001)
        await host.create(os=DEBIAN_13.os, hostname="fresh.example", root_password=SecretStr("a root password"))
        await host.install_root_key(public_key)
        await host.power_on()
        await wait_for_port(host.address, 22, timeout_s=30)
        access = AsyncSshAccess()
        host_keys = await access.read_host_keys(SshEndpoint(host.address))
        yield Stage(host, directory, public_key, host_keys, access)
    finally:
        await rack.down()


# What a run may leave before anything is changed: the time stamps of /etc and of the packages.
UNTOUCHED = "find /etc /var/lib/dpkg /root/.ssh -printf '%p %T@ %U %m\\n' | sort | sha256sum"


async def test_a_wrong_owner_is_met_before_anything_is_changed(stage: Stage) -> None:
    before = (await stage.say(UNTOUCHED)).stdout
    await stage.host.run_inside("chown", "1000", "/root/.ssh")
    result = await stage.provision()
    assert (result.ok, result.unreachable, result.changed) == (False, True, 0), "sshd ignores such a directory"
    await stage.host.run_inside("chown", "0", "/root/.ssh")
    assert (await stage.say(UNTOUCHED)).stdout == before


async def test_another_key_by_our_name_is_told_before_anything_is_changed(stage: Stage) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519", comment=COMMENT).export_public_key().decode()
    await stage.say("cp -p /root/.ssh/authorized_keys /root/kept; cat >> /root/.ssh/authorized_keys", stdin=other)
    before = (await stage.say(UNTOUCHED)).stdout
    result = await stage.provision()
    assert result.report["preflight_failed"] is True
    assert "another key that is called 'lazaret'" in result.error and "Cure" in result.error
    assert (await stage.say(UNTOUCHED)).stdout == before
    await stage.say("mv /root/kept /root/.ssh/authorized_keys")


async def test_one_run_brings_everything_about(stage: Stage) -> None:
    result = await stage.provision()
    assert result.ok, result.error
    assert result.report["firewall"] == {
        "active": True,
        "denies_by_default": True,
        "drops": True,
        "allowed": [22, 80, 443],
        "covers_docker": True,
    }
    assert result.report["docker"]["container_ran"] is True
    assert int(result.report["docker"]["compose"].split(".")[0]) >= 2
    assert (await stage.say("cat /etc/own-role /etc/own-handler")).stdout == "mine\nmine\n"
    assert max(event.position for event in stage.events) <= stage.events[0].total


async def test_no_connection_of_ours_stays(stage: Stage) -> None:
    said = await stage.say("sleep 1; ss -Htn state established sport = :22 | wc -l")
    assert said.stdout.strip() == "1", "only the one that asks"


async def test_a_second_run_changes_nothing_and_arms_nothing(stage: Stage) -> None:
    before = (await stage.say("stat -c %Y /etc/ssh/sshd_config.d/00-lazaret.conf /etc/ufw/after.rules")).stdout
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 0), result.error
    assert (await stage.say("stat -c %Y /etc/ssh/sshd_config.d/00-lazaret.conf /etc/ufw/after.rules")).stdout == before
    assert not (await stage.say("ls /var/lib/lazaret/rollback")).ok


async def test_who_holds_the_package_lock_is_told(stage: Stage) -> None:
    await stage.say(
        "cat > /tmp/hold.py; setsid python3 /tmp/hold.py </dev/null >/dev/null 2>&1 &"
        " until test -e /tmp/holds; do sleep 0.2; done",
        stdin=HOLD_LOCK,
    )
    running = asyncio.create_task(stage.provision())
    try:
        async with asyncio.timeout(120):
            while not any(event.state is TaskState.WAITING for event in stage.events):
                await asyncio.sleep(0.2)
    finally:
        await stage.say("rm -f /tmp/holds")
    result = await running
    assert (result.ok, result.changed) == (True, 0), result.error
    told = [event.message for event in stage.events if event.state is TaskState.WAITING]
    assert told[0].startswith("waiting for python3 ("), told


async def test_a_published_port_is_closed_whatever_is_restarted(stage: Stage) -> None:
    made = await stage.say("sh -s", stdin=WEB)
    assert made.ok, made.stderr
    for disturb in ("true", "systemctl restart docker", "ufw reload", "ufw disable; ufw --force enable"):
        assert (await stage.say(disturb)).ok
        await until_served(stage)
        assert await stage.port(8080) is PortState.SILENT, disturb


async def test_a_deployment_opens_its_port_and_nothing_undoes_it(stage: Stage) -> None:
    always = [22, 80, 443]
    ask = {"state": "published", "allowed_tcp_ports": always}
    assert "CHANGED" in await stage.module("machine_access", **ask, published_tcp_ports=[8080])
    assert await stage.port(8080) is PortState.OPEN
    assert "CHANGED" not in await stage.module("machine_access", **ask, published_tcp_ports=[8080])
    for disturb in ("ufw reload", "systemctl restart docker"):
        await stage.say(disturb)
        await until_served(stage)
        assert await stage.port(8080) is PortState.OPEN, disturb
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 0), result.error
    await stage.host.reboot()
    await wait_for_port(stage.host.address, 22, timeout_s=60)
    await until_served(stage)
    assert await stage.port(8080) is PortState.OPEN
    assert "CHANGED" in await stage.module("machine_access", **ask, published_tcp_ports=[])
    assert await stage.port(8080) is PortState.SILENT


async def test_a_firewall_that_lets_everything_in_is_seen_and_closed(stage: Stage) -> None:
    await stage.say("sed -i s/IPV6=yes/IPV6=no/ /etc/default/ufw; ufw default allow incoming; ufw reload")
    assert await stage.port(9999) is PortState.REFUSED, "nothing filters it"
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 1), result.error
    assert await stage.port(9999) is PortState.SILENT
    assert "-P INPUT DROP" in (await stage.say("ip6tables -S INPUT")).stdout


async def test_the_timer_of_a_dead_run_does_not_undo_the_next(stage: Stage) -> None:
    """The next run finds nothing to change, and must disarm it all the same."""
    await stage.say("rm /etc/ssh/sshd_config.d/00-lazaret.conf; systemctl reload ssh")
    longer_than_a_run_s = 45
    arguments = {"state": "applied", "allowed_tcp_ports": [22, 80, 443], "rollback_timeout_s": longer_than_a_run_s}
    assert "CHANGED" in await stage.module("machine_access", **arguments)
    would_end_at = asyncio.get_running_loop().time() + longer_than_a_run_s
    result = await stage.provision()
    assert (result.ok, result.changed) == (True, 0), result.error
    await asyncio.sleep(would_end_at + 2 - asyncio.get_running_loop().time())
    assert not await stage.access.offers_password_login(stage.endpoint, host_keys=stage.host_keys)


async def until_served(stage: Stage) -> None:
    """The container answers from inside, so that silence outside means something."""
    for _ in range(80):
        if (await stage.say("curl -fsS -m 2 http://127.0.0.1:8080/")).stdout == "hello\n":
            return
        await asyncio.sleep(0.25)
    raise AssertionError("the container does not answer from inside")
