"""A real host on which only our key is installed, and the playbook run on it, without Lazaret around it."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh
import psutil
from pydantic import SecretStr

from lazaret.adapters.ansible import AnsibleRunner
from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.lab.instance import wait_for_port
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.nspawn_rack import NspawnRack
from lazaret.lab.servers import DEBIAN_13
from lazaret.playbooks import DIRECTORY
from lazaret.servers.access import CommandResult, KeyLogin, PortState, SshEndpoint
from lazaret.servers.configuration import PlaybookResult, TaskEvent, TaskState

ROLLBACK_S = 20
COMMENT = "lazaret"
ROLE = """- name: Leave a mark
  ansible.builtin.copy: {content: "mine\\n", dest: /etc/own-role, mode: "0644"}
  notify: Leave another
"""
ROLE_HANDLERS = """- name: Leave another
  ansible.builtin.copy: {content: "mine\\n", dest: /etc/own-handler, mode: "0644"}
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

    async def provision(self, *, die_after: str = "", rollback_s: int = ROLLBACK_S) -> PlaybookResult:
        """Converge. Raises `Died` where Ansible is killed as soon as a task of that name has changed something."""
        self.events.clear()

        async def keep(event: TaskEvent) -> None:
            self.events.append(event)
            if die_after and event.task.startswith(die_after) and event.state is TaskState.CHANGED:
                kill_ansible()
                raise Died

        return await AnsibleRunner().run(
            "provision_server",
            self.endpoint,
            host_keys=self.host_keys,
            private_key=self.key,
            variables={
                "server_hostname": "web1.example",
                "ssh_public_key": self.public_key,
                "baseline_version": "test",
                "rollback_timeout_s": rollback_s,
                "provision_extra_roles": ["own"],
                "provision_roles_path": str(self.directory / "roles"),
            },
            on_event=keep,
            timeout_s=400,
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

    async def offers_password(self) -> bool:
        return await self.access.offers_password_login(self.endpoint, host_keys=self.host_keys)

    async def port(self, number: int) -> PortState:
        return await self.access.probe_port(self.host.address, number, timeout_s=1)


@asynccontextmanager
async def stage_in(directory: Path) -> AsyncIterator[Stage]:
    """A fresh host. `directory` is for the key, for a role of the user's own and for the host's disk."""
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
        await wait_for_port(host.address, 22, timeout_s=120)
        access = AsyncSshAccess()
        host_keys = await access.read_host_keys(SshEndpoint(host.address))
        yield Stage(host, directory, public_key, host_keys, access)
    finally:
        await rack.down()
