"""Simulated hosts: real SSH servers on loopback addresses, with real passwords and keys, and nothing behind them.

Owns a host's state and its network side: listening, refusing, silence, reboots. What a remote command answers is in
`simulated_commands`. Cheap enough for thousands in one event loop: a listening socket per host, keys made lazily.
"""

import asyncio
import errno
import logging
import secrets
import socket
import struct
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh
from pydantic import BaseModel, Field, SecretStr

from lazaret.kernel.clock import Clock
from lazaret.kernel.errors import Conflict, Misconfigured
from lazaret.lab.host import LabHost
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13, UBUNTU_24_04
from lazaret.lab.simulated_commands import AUTHORIZED_KEYS, DEFAULT_COMMANDS, CommandTable, RemoteCall
from lazaret.lab.store import write_private
from lazaret.lab.tasks import StoredSecret

DEFAULT_SSH_PORT = 2222
_HANDSHAKE_TIMEOUT_S = 20

log = logging.getLogger(__name__)


class HostState(BaseModel):
    """All that is on a simulated host's disk, and its boot id."""

    os: str = ""
    hostname: str = ""
    root_password: StoredSecret = SecretStr("")
    password_login: bool = True
    """The effective policy of sshd; hardening turns it off."""
    files: dict[str, str] = Field(default_factory=dict)
    converged: dict[str, list[str]] = Field(default_factory=dict)
    """Tasks that are already as described, by playbook."""
    host_key: StoredSecret = SecretStr("")
    """Private, OpenSSH; empty until somebody connects."""
    machine_id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    boot_id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    booted_at_s: float = 0.0
    """Of the clock's monotonic time."""

    def authorized_keys(self) -> list[str]:
        """The lines of root's authorized_keys that hold a key."""
        lines = self.files.get(AUTHORIZED_KEYS, "").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


class SimulatedHost:
    """A `LabHost` without a machine."""

    def __init__(
        self,
        handle_id: int,
        address: str,
        ssh_port: int,
        *,
        clock: Clock,
        boot_s: float,
        commands: CommandTable,
        state_file: Path | None = None,
    ) -> None:
        self.handle_id = handle_id
        self.address = address
        self.ssh_port = ssh_port
        self.state = HostState()
        self.clock = clock
        self._boot_s = boot_s
        self._commands = commands
        self._state_file = state_file
        self._is_on = False
        self._boot: asyncio.Task[None] | None = None
        self._listener: _Listener | None = None
        self._plug: list[socket.socket] = []

    @property
    def is_on(self) -> bool:
        return self._is_on

    async def create(self, *, os: str, hostname: str, root_password: SecretStr) -> None:
        """A fresh disk: keys, host key, policy and machine id are gone."""
        if self._is_on:
            await self.power_off()
        self.state = HostState(os=os, hostname=hostname, root_password=root_password)
        self.remember()

    async def power_on(self) -> None:
        """Begin to boot; SSH answers `boot_s` seconds later."""
        if self._is_on:
            return
        self._is_on = True
        self.state.boot_id, self.state.booted_at_s = str(uuid.uuid4()), self.clock.monotonic()
        self._boot = asyncio.create_task(self._listen_after_boot())

    async def power_off(self) -> None:
        """No more answer to anything: open connections freeze, new ones meet silence."""
        await self._end_boot()
        if self._listener is not None:
            self._listener.freeze()
        self._is_on = False
        self._unplug_or_silence()

    async def reboot(self) -> None:
        await self.power_off()
        await self.power_on()

    async def set_root_password(self, password: SecretStr) -> None:
        self.state.root_password = password
        self.remember()

    async def install_root_key(self, public_key: str) -> None:
        """Let this key log in."""
        self.state.files[AUTHORIZED_KEYS] = public_key.strip() + "\n"
        self.remember()

    async def flush_firewall(self) -> None:
        """A simulated host filters nothing; it has to be on all the same."""
        if not self._is_on:
            raise Conflict(f"Host {self.handle_id} is off.")

    async def destroy(self) -> None:
        await self._end_boot()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._pull_plug()
        self._is_on = False
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)

    def remember(self) -> None:
        """Write the disk's state to its file, where there is one."""
        if self._state_file is not None:
            write_private(self._state_file, self.state.model_dump_json())

    def recall(self) -> bool:
        """Take the state from the file; false when there is none."""
        if self._state_file is None or not self._state_file.exists():
            return False
        self.state = HostState.model_validate_json(self._state_file.read_text(encoding="utf-8"))
        return True

    def host_key(self) -> asyncssh.SSHKey:
        """The host's private key; made when it is first needed."""
        if not self.state.host_key.get_secret_value():
            key = asyncssh.generate_private_key("ssh-ed25519")
            self.state.host_key = SecretStr(key.export_private_key().decode())
            self.remember()
            return key
        return asyncssh.import_private_key(self.state.host_key.get_secret_value())

    async def answer(self, call: RemoteCall) -> int:
        """Run a remote command; returns its exit status."""
        return await self._commands.run(self, call)

    async def _listen_after_boot(self) -> None:
        await self.clock.sleep(self._boot_s)
        self._pull_plug()
        if self._listener is None:
            self._listener = _Listener(self)
        self._listener.open()

    async def _end_boot(self) -> None:
        if self._boot is not None:
            self._boot.cancel()
            with suppress(asyncio.CancelledError):
                await self._boot
            self._boot = None

    def _unplug_or_silence(self) -> None:
        """Take the port with a backlog that is already full: the kernel then drops every further SYN."""
        if not self._plug:
            self._plug = _full_backlog(self.address, self.ssh_port)

    def _pull_plug(self) -> None:
        for one in self._plug:
            one.close()
        self._plug = []


class _Listener:
    """The TCP side of one host that is on."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host
        self._socket: socket.socket | None = None
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._connections: dict[asyncssh.SSHServerConnection | asyncio.Task[Any], socket.socket] = {}
        self._frozen: list[socket.socket] = []

    def open(self) -> None:
        """Accept from now on; what was frozen is reset, as by a machine that booted and knows nothing of it."""
        for old in self._frozen:
            _reset(old)
        self._frozen = []
        self._options = None
        self._socket = _listening(self._host.address, self._host.ssh_port, backlog=128)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def freeze(self) -> None:
        """Stop listening, and keep the open connections without ever answering on them again."""
        self._stop_listening()
        for connection, held in list(self._connections.items()):
            _abandon(connection)
            self._frozen.append(held)
        self._connections = {}

    def close(self) -> None:
        """Everything ends."""
        self.freeze()
        for old in self._frozen:
            _reset(old)
        self._frozen = []

    def _stop_listening(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _accept(self) -> None:
        assert self._socket is not None
        with suppress(OSError):  # the peer may be gone already
            connected, _ = self._socket.accept()
            connected.setblocking(False)
            held = connected.dup()
            task = asyncio.create_task(self._serve(connected, held))
            self._connections[task] = held
            task.add_done_callback(self._handshake_over)

    async def _serve(self, connected: socket.socket, held: socket.socket) -> None:
        try:
            connection = await asyncssh.run_server(connected, options=await self._server_options())
        except (asyncssh.Error, OSError, TimeoutError) as error:
            log.debug("handshake on %s failed: %s", self._host.address, type(error).__name__)
            connected.close()
            return
        self._connections[connection] = held
        self._connections.pop(_current_task())
        try:
            await connection.wait_closed()
        finally:
            if self._connections.pop(connection, None) is not None:
                held.close()

    def _handshake_over(self, task: asyncio.Task[None]) -> None:
        held = self._connections.pop(task, None)
        if held is not None:
            held.close()

    async def _server_options(self) -> asyncssh.SSHServerConnectionOptions:
        if self._options is None:
            self._options = await asyncssh.SSHServerConnectionOptions.construct(
                config=None,
                server_factory=lambda: _SshServer(self._host),
                server_host_keys=[self._host.host_key()],
                process_factory=self._process,
                encoding="utf-8",
                errors="replace",
                login_timeout=_HANDSHAKE_TIMEOUT_S,
                connect_timeout=_HANDSHAKE_TIMEOUT_S,
                compression_algs=None,
                agent_forwarding=False,
                allow_scp=False,
                x11_forwarding=False,
            )
        return self._options

    async def _process(self, process: "asyncssh.SSHServerProcess[str]") -> None:
        try:
            status = await self._host.answer(RemoteCall(process))
        except (asyncssh.BreakReceived, asyncssh.TerminalSizeChanged, ConnectionError):
            status = 130
        with suppress(OSError, ConnectionError):
            process.exit(status)


class _SshServer(asyncssh.SSHServer):
    """Who may log in: root, by a key on the disk, or by the password where the policy allows it."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's signature
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        offered = key.export_public_key().split()[1].decode()
        known = {part for line in self._host.state.authorized_keys() for part in line.split()}
        return username == "root" and offered in known

    def password_auth_supported(self) -> bool:
        return self._host.state.password_login

    def validate_password(self, username: str, password: str) -> bool:
        wanted = self._host.state.root_password.get_secret_value()
        right = secrets.compare_digest(password.encode(), wanted.encode())
        return right and username == "root" and bool(wanted) and self._host.state.password_login


class SimulatedRack:
    """A `Rack` of simulated hosts on addresses 127.<net>.x.y, all on one port."""

    simulated = True
    templates = (DEBIAN_13, DEBIAN_12, UBUNTU_24_04)

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        boot_s: float = 0.05,
        ssh_port: int = DEFAULT_SSH_PORT,
        commands: CommandTable = DEFAULT_COMMANDS,
        directory: Path | None = None,
    ) -> None:
        self._clock = clock
        self._boot_s = boot_s
        self._ssh_port = ssh_port
        self._commands = commands
        self._directory = directory
        self._net = _net_for(name)
        self._taken: set[str] = set()

    async def up(self) -> None:
        """Find a net on which no other lab listens."""
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for attempt in range(100):
            net = 16 + (self._net - 16 + attempt) % 200
            if _is_free(f"127.{net}.0.1", self._ssh_port):
                self._net = net
                return
        raise Misconfigured(f"Port {self._ssh_port} is taken on all loopback nets tried.")

    async def new_host(self, server_id: int) -> SimulatedHost:
        address = self._address(server_id)
        file = self._directory / f"{server_id}.json" if self._directory is not None else None
        self._taken.add(address)
        return SimulatedHost(
            server_id,
            address,
            self._ssh_port,
            clock=self._clock,
            boot_s=self._boot_s,
            commands=self._commands,
            state_file=file,
        )

    async def adopt_host(self, server_id: int) -> LabHost | None:
        host = await self.new_host(server_id)
        if host.recall():
            return host
        await self.remove_host(host)
        return None

    async def remove_host(self, host: LabHost) -> None:
        await host.destroy()
        self._taken.discard(host.address)

    async def down(self) -> None:
        """Nothing is shared by the hosts."""

    def _address(self, server_id: int) -> str:
        """From the id, so that a restarted lab finds the same one; x.y.1 to x.y.250 on 250 nets of a net."""
        for offset in range(250 * 250):
            row, column = divmod((server_id - 1 + offset) % (250 * 250), 250)
            address = f"127.{self._net}.{row}.{column + 1}"
            if address not in self._taken:
                return address
        raise Conflict("The lab has no address left.")


def _net_for(name: str) -> int:
    """16 to 215: a lab's usual second octet."""
    return 16 + sum(name.encode()) * 31 % 200


def _listening(address: str, port: int, *, backlog: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setblocking(False)
        one.bind((address, port))
        one.listen(backlog)
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise Misconfigured(
                f"This machine has no address {address}.",
                hint=f"Off Linux, add it: sudo ifconfig lo0 alias {address}",
            ) from None
        raise
    return one


def _is_free(address: str, port: int) -> bool:
    try:
        _listening(address, port, backlog=1).close()
    except OSError:
        return False
    return True


def _full_backlog(address: str, port: int) -> list[socket.socket]:
    """A listening socket that nobody accepts from, and the connections that fill its queue."""
    plug = [_listening(address, port, backlog=0)]
    for _ in range(2):
        filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        filler.setblocking(False)
        with suppress(BlockingIOError):
            filler.connect((address, port))
        plug.append(filler)
    return plug


def _reset(held: socket.socket) -> None:
    """Close so that the peer gets a reset."""
    with suppress(OSError):
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    held.close()


def _abandon(connection: "asyncssh.SSHServerConnection | asyncio.Task[Any]") -> None:
    """End our side without a word on the wire: the duplicate of the socket keeps the connection open."""
    if isinstance(connection, asyncio.Task):
        connection.cancel()
    else:
        connection.abort()


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
