"""SSH and TCP by asyncssh. Fulfils `servers.access.RemoteAccess`.

Host keys and logins come from the caller only; see `options`.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import asyncssh

from lazaret.adapters.ssh.failures import host_key_changed, place, while_connecting, while_logging_in
from lazaret.adapters.ssh.options import (
    HOST_KEY_ALGORITHMS,
    login_options,
    preferred_algorithms,
    public_keys,
    stranger_options,
)
from lazaret.adapters.ssh.session import AsyncSshSession
from lazaret.servers.access import (
    ConnectionRefusedByHost,
    HostSilent,
    Login,
    NoBanner,
    PortState,
    RemoteSession,
    SshEndpoint,
)

CLOSE_S = 2.0
"""How long a connection may take to say goodbye."""

HANDSHAKES = 128
"""So many at the same time: some milliseconds of work each, so that the last of them has its answer within a second."""
_TURNS: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = WeakKeyDictionary()

T = TypeVar("T")

asyncssh.set_log_level(logging.WARNING)  # its debug lines show what is sent


class AsyncSshAccess:
    """SSH and TCP from this machine."""

    async def probe_port(self, address: str, port: int, *, timeout_s: float = 3) -> PortState:
        try:
            (await _connected(SshEndpoint(address, port), timeout_s)).close()
        except ConnectionRefusedByHost:
            return PortState.REFUSED
        except HostSilent:
            return PortState.SILENT
        return PortState.OPEN

    async def read_host_keys(self, endpoint: SshEndpoint, *, timeout_s: float = 10) -> tuple[str, ...]:
        """One key, the best that the host has. More would need a handshake each, and since OpenSSH 9.8 a host shuts
        out for a while whoever connects often without logging in."""
        return (await self._presented_key(endpoint, HOST_KEY_ALGORITHMS, timeout_s),)

    def connect(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], login: Login, timeout_s: float = 15
    ) -> AbstractAsyncContextManager[RemoteSession]:
        return self._session(endpoint, host_keys, login, timeout_s)

    async def offers_password_login(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], timeout_s: float = 10
    ) -> bool:
        """Asks which methods the host would accept, by offering none; one that lets us in for nothing is open, too.

        asyncssh checks no host key while it asks, so that is done on a connection before.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        trusted = public_keys(host_keys)
        presented = await self._presented_key(endpoint, preferred_algorithms(trusted), timeout_s)
        if presented not in map(_public_part, trusted):
            raise host_key_changed(endpoint)

        async def ask(sock: socket.socket) -> Sequence[str]:
            return await asyncssh.get_server_auth_methods(
                username=endpoint.user, sock=sock, config=None, options=stranger_options(endpoint)
            )

        methods = await _over_ssh(endpoint, ask, deadline - asyncio.get_running_loop().time())
        return not {"password", "keyboard-interactive", "none"}.isdisjoint(methods)

    async def _presented_key(self, endpoint: SshEndpoint, algorithms: Sequence[str], timeout_s: float) -> str:
        async def shake_hands(sock: socket.socket) -> asyncssh.SSHKey | None:
            return await asyncssh.get_server_host_key(
                sock=sock, config=None, server_host_key_algs=list(algorithms), options=stranger_options(endpoint)
            )

        key = await _over_ssh(endpoint, shake_hands, timeout_s)
        if key is None:
            raise NoBanner(f"{place(endpoint)} presents no host key.")
        return _public_part(key)

    @asynccontextmanager
    async def _session(
        self, endpoint: SshEndpoint, host_keys: Sequence[str], login: Login, timeout_s: float
    ) -> AsyncIterator[RemoteSession]:
        async with open_connection(endpoint, host_keys, login, timeout_s) as connection:
            yield AsyncSshSession(connection, endpoint)


@asynccontextmanager
async def open_connection(
    endpoint: SshEndpoint, host_keys: Sequence[str], login: Login, timeout_s: float, *, keepalive: bool = True
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to a host that proves one of `host_keys`. Raises any `AccessError` while opening."""
    trusted = public_keys(host_keys)
    if not trusted:
        raise host_key_changed(endpoint)
    options = login_options(endpoint, trusted, login, keepalive=keepalive)

    async def log_in(sock: socket.socket) -> asyncssh.SSHClientConnection:
        return await asyncssh.connect(sock=sock, **options)

    connection = await _over_ssh(endpoint, log_in, timeout_s)
    try:
        yield connection
    finally:
        await _close(connection)


async def _over_ssh(endpoint: SshEndpoint, talk: Callable[[socket.socket], Awaitable[T]], timeout_s: float) -> T:
    """Connect and talk, within `timeout_s` in all. Connecting first tells a silent host from a silent SSH server.

    A handshake is work for this machine: so that thousands at once, as after a start, do not time each other out, they
    wait their turn, and the wait is not the host's.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    sock = await _connected(endpoint, timeout_s)
    left_s = timeout_s - (loop.time() - begun)
    try:
        async with _handshakes():
            with while_logging_in(endpoint):
                async with asyncio.timeout(left_s):
                    return await talk(sock)
    except BaseException:
        sock.close()
        raise


def _handshakes() -> asyncio.Semaphore:
    """The turns of this event loop."""
    loop = asyncio.get_running_loop()
    found = _TURNS.get(loop)
    if found is None:
        found = _TURNS[loop] = asyncio.Semaphore(HANDSHAKES)
    return found


async def _connected(endpoint: SshEndpoint, timeout_s: float) -> socket.socket:
    """A socket that is connected. Raises `HostSilent` or `ConnectionRefusedByHost`."""
    loop = asyncio.get_running_loop()
    with while_connecting(endpoint):
        async with asyncio.timeout(timeout_s):
            family, address = await _resolved(endpoint)
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await loop.sock_connect(sock, address)
            except BaseException:
                sock.close()
                raise
            return sock


async def _resolved(endpoint: SshEndpoint) -> tuple[int, Any]:
    """Family and address. A name takes a thread; an address, which servers have, must not: it is asked for often."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(endpoint.address).version == 6 else socket.AF_INET
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)
        return found[0][0], found[0][4]
    return family, (endpoint.address, endpoint.port)


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    try:
        async with asyncio.timeout(CLOSE_S):
            await connection.wait_closed()
    except (TimeoutError, OSError, asyncssh.Error):
        with contextlib.suppress(OSError, asyncssh.Error):
            connection.abort()


def _public_part(key: asyncssh.SSHKey) -> str:
    """`<type> <base64>`, without comment."""
    return " ".join(key.export_public_key().decode().split()[:2])
