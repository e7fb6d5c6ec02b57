"""The network side of a simulated host: listening, SSH logins, silence and resets.

Cheap enough for thousands in one event loop: one listening socket per host, options and keys made when somebody
connects. Speaks on loopback only.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import secrets
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncssh

from lazaret.kernel.errors import Misconfigured
from lazaret.lab.simulated_commands import RemoteCall

if TYPE_CHECKING:
    from lazaret.lab.simulated import SimulatedHost

_HANDSHAKE_TIMEOUT_S = 20

log = logging.getLogger(__name__)


class Listener:
    """The TCP side of one host that is on."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host
        self._socket: socket.socket | None = None
        self._options: asyncssh.SSHServerConnectionOptions | None = None
        self._connections: dict[asyncssh.SSHServerConnection | asyncio.Task[Any], socket.socket] = {}
        self._frozen: list[socket.socket] = []

    def open(self) -> None:
        """Accept from now on; what was frozen is reset, as by a machine that booted and knows nothing of it."""
        self._reset_frozen()
        if self._socket is None:
            self._options = None
            self._socket = listening(self._host.address, self._host.ssh_port, backlog=128)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def hang(self) -> None:
        """The kernel takes connections, and nobody ever speaks on these or on those that were open."""
        if self._socket is None:
            self.open()
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._freeze_connections()

    def freeze(self) -> None:
        """Stop listening, and keep the open connections without ever answering on them again."""
        self._stoplistening()
        self._freeze_connections()

    def close(self) -> None:
        """Everything ends."""
        self.freeze()
        self._reset_frozen()

    def _freeze_connections(self) -> None:
        for connection, held in list(self._connections.items()):
            _abandon(connection)
            self._frozen.append(held)
        self._connections = {}

    def _reset_frozen(self) -> None:
        for old in self._frozen:
            _reset(old)
        self._frozen = []

    def _stoplistening(self) -> None:
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

    async def _process(self, process: asyncssh.SSHServerProcess[str]) -> None:
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


def listening(address: str, port: int, *, backlog: int) -> socket.socket:
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


def full_backlog(address: str, port: int) -> list[socket.socket]:
    """A listening socket that nobody accepts from, and the connections that fill its queue."""
    plug = [listening(address, port, backlog=0)]
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


def _abandon(connection: asyncssh.SSHServerConnection | asyncio.Task[Any]) -> None:
    """End our side without a word on the wire: the duplicate of the socket keeps the connection open."""
    if isinstance(connection, asyncio.Task):
        connection.cancel()
    else:
        connection.abort()


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
