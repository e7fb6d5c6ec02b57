"""SSH and TCP to machines that exist in memory only. It remembers which machine saw which password."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from lazaret.provisioning.steps.install_access_key import SCRIPT
from lazaret.servers.access import (
    CommandResult,
    HostKeyChanged,
    HostSilent,
    KeyLogin,
    Login,
    LoginRefused,
    PortState,
    RemoteSession,
    SshEndpoint,
)
from tests.fakes.fuse import Fuse
from tests.fakes.machine import Machine


class FakeSession:
    """One open session; knows the three commands that provisioning runs."""

    def __init__(self, machine: Machine, fuse: Fuse) -> None:
        self._machine = machine
        self._fuse = fuse

    async def run(self, command: str, *, stdin: str = "", timeout_s: float = 30) -> CommandResult:
        self._fuse.tick("before a command")
        result = self._run(command, stdin)
        self._fuse.tick("after a command")
        return result

    def _run(self, command: str, stdin: str) -> CommandResult:
        if command == SCRIPT:
            if self._machine.conflict:
                return CommandResult(10, self._machine.conflict, "")
            self._machine.authorized_keys.add(stdin.strip())
            return CommandResult(0, "", "")
        if command.startswith("cat "):
            return CommandResult(0, self._machine.baseline, "")
        return CommandResult(0 if command == "true" else 127, "", "")


class FakeAccess:
    """Fulfils `RemoteAccess`. `our_key` is the public half of every private key that logs in but for `other_keys`."""

    def __init__(self, *machines: Machine, our_key: str, fuse: Fuse | None = None) -> None:
        self._machines = {machine.address: machine for machine in machines}
        self._our_key = our_key
        self.other_keys: dict[Path, str] = {}
        """Public halves of other private keys, by their file."""
        self.on_password: Callable[[str], None] = lambda _: None
        """Told of each password right before a machine sees it."""
        self.fuse = fuse or Fuse()

    async def probe_port(self, address: str, port: int, *, timeout_s: float = 3) -> PortState:
        machine = self._machines[address]
        return PortState.OPEN if machine.answers and port in machine.open_ports else PortState.SILENT

    async def read_host_keys(self, endpoint: SshEndpoint, *, timeout_s: float = 10) -> tuple[str, ...]:
        self.fuse.tick("before reading host keys")
        return self._reached(endpoint).host_keys

    @asynccontextmanager
    async def connect(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], login: Login, timeout_s: float = 15
    ) -> AsyncIterator[RemoteSession]:
        self.fuse.tick("before connecting")
        machine = self._reached(endpoint)
        if not set(host_keys) & set(machine.host_keys):
            raise HostKeyChanged(f"{endpoint.address} presents another host key.")
        if isinstance(login, KeyLogin):
            public_key = self.other_keys.get(login.private_key, self._our_key)
            accepted = machine.accepts_keys and public_key in machine.authorized_keys
        else:
            self.on_password(login.password.get_secret_value())
            machine.passwords_seen.append(login.password.get_secret_value())
            accepted = machine.accepts_passwords and machine.passwords_seen[-1] == machine.root_password
        if not accepted:
            raise LoginRefused(f"{endpoint.address} refuses the login.")
        yield FakeSession(machine, self.fuse)

    async def offers_password_login(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], timeout_s: float = 10
    ) -> bool:
        return self._reached(endpoint).accepts_passwords

    def _reached(self, endpoint: SshEndpoint) -> Machine:
        machine = self._machines[endpoint.address]
        if not machine.answers:
            raise HostSilent(f"{endpoint.address} does not answer.")
        return machine
