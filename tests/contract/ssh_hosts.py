"""Hosts for the contract of remote access: a real SSH server inside the test, and ports that misbehave."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncssh

from lazaret.servers.access import SshEndpoint

ADDRESS = "127.0.0.1"
PASSWORD = "planted \"quoted' <&> ü"


@dataclass
class SshHost:
    """An SSH server with one user, and a memory of what was tried on it."""

    host_keys: list[asyncssh.SSHKey] = field(default_factory=lambda: [asyncssh.generate_private_key("ssh-ed25519")])
    authorized: list[asyncssh.SSHKey] = field(default_factory=list)
    methods: Sequence[str] = ("password", "publickey")
    port: int = 0
    tried: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    received: dict[str, bytes] = field(default_factory=dict)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def hangs(self) -> None:
        """Return when the command `hang` runs and its caller has heard so."""
        async with asyncio.timeout(20):
            await self.hanging.wait()
        for _ in range(10):  # turns of the loop, which is also the caller's
            await asyncio.sleep(0.01)

    @property
    def endpoint(self) -> SshEndpoint:
        return SshEndpoint(ADDRESS, self.port)

    @property
    def pinned(self) -> list[str]:
        return [public_text(key) for key in self.host_keys]

    @asynccontextmanager
    async def running(self) -> AsyncIterator["SshHost"]:
        listener = await asyncssh.create_server(
            lambda: _Server(self),
            ADDRESS,
            self.port,
            server_host_keys=self.host_keys,
            process_factory=self._process,
            encoding=None,
            login_timeout=20,
        )
        self.port = listener.get_port()
        try:
            yield self
        finally:
            listener.close()
            for connection in self.connections:
                connection.abort()
            await listener.wait_closed()

    def drop_all(self) -> None:
        """Cut every connection, as a crash does."""
        for connection in self.connections:
            connection.abort()

    async def _process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        with contextlib.suppress(OSError, asyncssh.Error):
            await _COMMANDS[command.split()[0]](self, process)


class _Server(asyncssh.SSHServer):
    def __init__(self, host: SshHost) -> None:
        self._host = host

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._host.connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        self._host.users.append(username)
        return "none" not in self._host.methods

    def password_auth_supported(self) -> bool:
        return "password" in self._host.methods

    def validate_password(self, username: str, password: str) -> bool:
        self._host.tried.append("password")
        return password == PASSWORD

    def public_key_auth_supported(self) -> bool:
        return "publickey" in self._host.methods

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._host.tried.append("publickey")
        return key in self._host.authorized

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self._host.methods

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, list[tuple[str, bool]]]:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        self._host.tried.append("keyboard-interactive")
        return list(responses) == [PASSWORD]


async def _echo(host: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Everything on stdin, back on stdout; a word on stderr."""
    host.received["stdin"] = await process.stdin.read()
    process.stdout.write(host.received["stdin"])
    process.stderr.write(b"heard")
    process.exit(0)


async def _exit(_: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit(int((process.command or "").split()[1]))


async def _signal(_: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit_with_signal("KILL")


async def _flood(_: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Eight MiB on either stream."""
    for stream in (process.stdout, process.stderr):
        for _ in range(128):
            stream.write(b"x" * 65_536)
            await stream.drain()
    process.exit(0)


async def _garbage(_: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"a\xff\xfeb \xc3\xa9")
    process.exit(0)


async def _hang(host: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Until the other side closes its channel."""
    process.stdout.write(b"begun")
    host.hanging.set()
    await process.wait_closed()
    host.hung_up.set()


async def _crash(host: SshHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.stdout.write(b"half of the out")
    await process.stdout.drain()
    host.drop_all()


_COMMANDS = {
    "echo": _echo,
    "exit": _exit,
    "signal": _signal,
    "flood": _flood,
    "garbage": _garbage,
    "hang": _hang,
    "crash": _crash,
}


def public_text(key: asyncssh.SSHKey) -> str:
    """`<type> <base64>`."""
    return " ".join(key.export_public_key().decode().split()[:2])


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as sock:
        sock.bind((ADDRESS, 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def silent_port() -> AsyncIterator[SshEndpoint]:
    """A listening socket whose full backlog is never accepted: the kernel lets connects wait."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((ADDRESS, 0))
        listening.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
        await asyncio.sleep(0.05)
        yield SshEndpoint(ADDRESS, listening.getsockname()[1])


@asynccontextmanager
async def speaking_port(words: bytes | None, *, hang_up: bool) -> AsyncIterator[SshEndpoint]:
    """Accepts every connection, says `words` if any, and hangs up or stays."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if words:
            writer.write(words)
        with contextlib.suppress(OSError):
            await writer.drain()
            if not hang_up:
                await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, ADDRESS, 0)
    try:
        yield SshEndpoint(ADDRESS, server.sockets[0].getsockname()[1])
    finally:
        server.close()


@dataclass
class Relay:
    """A TCP relay that can turn deaf: bytes vanish and nobody hangs up, as when a host loses its power."""

    target: SshEndpoint
    port: int = 0
    is_deaf: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def endpoint(self) -> SshEndpoint:
        return SshEndpoint(ADDRESS, self.port)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        server = await asyncio.start_server(self._serve, ADDRESS, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection(self.target.address, self.target.port)
        for source, sink in ((reader, onward), (there, writer)):
            self._tasks.add(asyncio.create_task(self._pump(source, sink)))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                if not self.is_deaf:
                    sink.write(data)
        if not self.is_deaf:
            sink.close()
