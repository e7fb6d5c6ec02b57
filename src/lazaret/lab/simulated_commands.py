"""What a simulated host answers to remote commands: a table from the command's beginning to a behaviour.

Open for more: `CommandTable.on` adds one. A behaviour reads and changes the host's state and writes to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lazaret.lab.simulated_readings import STREAM, stream
from lazaret.lab.simulated_services import SimulatedService

if TYPE_CHECKING:
    import asyncssh

    from lazaret.lab.simulated import SimulatedHost
    from lazaret.lab.switches import Switchboard


AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
PLAYBOOK_TASK = "lazaret-simulated-task"
PLAYBOOK_REPORT = "lazaret-simulated-report"
WRITE_FILE = "lazaret-simulated-write"
SERVICE = "lazaret-simulated-service"
MENDED_BY = {"restart docker.service": "docker_down", "apt-get clean": "disk_full"}
"""What a script that says this mends."""


class RemoteCall:
    """One command in execution, seen from the host."""

    def __init__(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self._process = process
        self.command = process.command or ""

    async def read_stdin(self) -> str:
        """All that the caller sends, until it closes its side."""
        return await self._process.stdin.read()

    def write(self, text: str) -> None:
        """To standard output."""
        self._process.stdout.write(text)

    async def drain(self) -> None:
        """Wait until the caller took what was written."""
        await self._process.stdout.drain()

    def complain(self, text: str) -> None:
        """To standard error."""
        self._process.stderr.write(text)


Behaviour = Callable[["SimulatedHost", RemoteCall], Awaitable[int]]
"""Answers a command; the returned number is its exit status."""


@dataclass(slots=True)
class CommandTable:
    """Behaviours by what a command begins with, or, failing that, by a text in it. The longest match wins."""

    beginnings: dict[str, Behaviour] = field(default_factory=dict)
    fragments: dict[str, Behaviour] = field(default_factory=dict)

    def on(self, beginning: str, behaviour: Behaviour) -> None:
        """Answer commands that begin like this."""
        self.beginnings[beginning] = behaviour

    def on_text(self, fragment: str, behaviour: Behaviour) -> None:
        """Answer commands that contain this and begin like nothing else in the table."""
        self.fragments[fragment] = behaviour

    def extended(self) -> CommandTable:
        """A copy to add to."""
        return CommandTable(dict(self.beginnings), dict(self.fragments))

    async def run(self, host: SimulatedHost, call: RemoteCall) -> int:
        """Answer; a command that nobody knows ends as a shell would end it."""
        command = call.command.strip()
        matches = [text for text in self.beginnings if command.startswith(text)]
        inside = [text for text in self.fragments if text in command]
        if matches:
            return await self.beginnings[max(matches, key=len)](host, call)
        if inside:
            return await self.fragments[max(inside, key=len)](host, call)
        call.complain(f"sh: 1: {command.split(' ')[0]}: not found\n")
        return 127


async def succeed(_host: SimulatedHost, _call: RemoteCall) -> int:
    """Do nothing, well."""
    return 0


async def echo(_host: SimulatedHost, call: RemoteCall) -> int:
    """Say the rest of the line."""
    call.write(call.command.strip().removeprefix("echo").strip().strip("'\"") + "\n")
    return 0


async def hostname(host: SimulatedHost, call: RemoteCall) -> int:
    """The host's name."""
    call.write(host.state.hostname + "\n")
    return 0


async def cat(host: SimulatedHost, call: RemoteCall) -> int:
    """One file; `2>/dev/null || true` behind it means what it means in a shell."""
    wanted, _, after = call.command.strip().removeprefix("cat").partition(" 2>/dev/null")
    path = wanted.strip()
    virtual = {
        "/etc/machine-id": host.state.machine_id + "\n",
        "/proc/sys/kernel/random/boot_id": host.state.boot_id + "\n",
        "/proc/uptime": f"{host.clock.monotonic() - host.state.booted_at_s:.2f} 0.00\n",
        "/etc/hostname": host.state.hostname + "\n",
    }
    content = host.state.files.get(path, virtual.get(path))
    if content is None:
        if not after:
            call.complain(f"cat: {path}: No such file or directory\n")
        return 0 if after.strip() == "|| true" else 1
    call.write(content)
    return 0


async def write_file(host: SimulatedHost, call: RemoteCall) -> int:
    """`lazaret-simulated-write PATH` puts standard input there; answers `{"changed": bool}`."""
    path = call.command.strip().removeprefix(WRITE_FILE).strip()
    content = (await call.read_stdin()).rstrip("\n") + "\n"
    changed = host.state.files.get(path) != content
    host.state.files[path] = content
    host.remember()
    call.write(json.dumps({"changed": changed}) + "\n")
    return 0


async def add_authorized_keys(host: SimulatedHost, call: RemoteCall) -> int:
    """A script about `authorized_keys` with a key on its input or in its text: the key may log in from now on."""
    lines = (await call.read_stdin()).splitlines() + call.command.splitlines()
    keys = [key for line in lines if (key := _key_in(line))]
    present = host.state.files.get(AUTHORIZED_KEYS, "")
    fresh = [key for key in keys if key.split()[1] not in present]
    host.state.files[AUTHORIZED_KEYS] = present + "".join(f"{key}\n" for key in fresh)
    host.remember()
    return 0


async def script(host: SimulatedHost, call: RemoteCall) -> int:
    """`sh -s` with a script on its input: what a remedy sends. What it understands mends something."""
    text = await call.read_stdin()
    understood = [ailment for words, ailment in MENDED_BY.items() if words in text]
    for ailment in understood:
        host.cure(ailment)
    if not understood:
        call.complain("sh: 1: sh: not found\n")
    return 0 if understood else 127


async def service(host: SimulatedHost, call: RemoteCall) -> int:
    """`lazaret-simulated-service` with a service on its input: it is brought about. It writes no log of its own."""
    wanted = SimulatedService.model_validate_json(await call.read_stdin())
    host.bring_about(wanted)
    call.write(json.dumps({"logs": f"{wanted.name} is simulated and writes no log"}) + "\n")
    return 0


def playbook_task(switches: Switchboard | None = None) -> Behaviour:
    """Answers `lazaret-simulated-task PLAYBOOK POSITION TASK`: bring one task to the described state, at once.

    Says `{"changed": bool}`, or fails where a switch wants it. The task that hardens sshd really refuses passwords
    from then on.
    """

    async def run(host: SimulatedHost, call: RemoteCall) -> int:
        _, playbook, position, task = call.command.split(" ", 3)
        failure = switches.take_playbook_failure(host.handle_id, int(position)) if switches is not None else None
        if failure is not None:
            call.complain(failure.message + "\n")
            return 2
        done = host.state.converged.setdefault(playbook, [])
        changed = task not in done
        if changed:
            done.append(task)
            if "password" in task.lower():
                host.state.password_login = False
            host.remember()
        call.write(json.dumps({"changed": changed}) + "\n")
        return 0

    return run


async def report(host: SimulatedHost, call: RemoteCall) -> int:
    """`lazaret-simulated-report`: what a health check would find."""
    state = host.state
    converged = bool(state.converged)
    found: dict[str, Any] = {
        "ok": True,
        "reasons": [],
        "hostname": state.hostname,
        "os": state.os,
        "boot_id": state.boot_id,
        "machine_id": state.machine_id,
        "uptime_s": round(host.clock.monotonic() - state.booted_at_s, 2),
        "password_login": state.password_login,
        "docker": {"running": converged},
        "firewall": {"active": converged},
        "timezone": "Etc/UTC",
    }
    call.write(json.dumps(found) + "\n")
    return 0


def _key_in(line: str) -> str:
    """The public key that stands in a line, with its comment; empty when there is none."""
    words = line.replace("'", " ").replace('"', " ").split()
    for position, word in enumerate(words[:-1]):
        if word.startswith(("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-")) and words[position + 1].startswith("AAAA"):
            return " ".join(words[position : position + 3])
    return ""


DEFAULT_COMMANDS = CommandTable(
    beginnings={
        "true": succeed,
        ":": succeed,
        "echo": echo,
        "hostname": hostname,
        "cat": cat,
        "sh -s": script,
        PLAYBOOK_TASK: playbook_task(),
        PLAYBOOK_REPORT: report,
        WRITE_FILE: write_file,
        SERVICE: service,
        STREAM: stream,
    },
    fragments={"authorized_keys": add_authorized_keys},
)


def commands_with_switches(commands: CommandTable, switches: Switchboard) -> CommandTable:
    """The table for the hosts of one lab: playbook tasks fail where its switches want it."""
    table = commands.extended()
    table.on(PLAYBOOK_TASK, playbook_task(switches))
    return table
