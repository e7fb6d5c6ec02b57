"""SSH and TCP by asyncssh. Fulfils `servers.access.RemoteAccess`.

Nothing is read from the user's SSH configuration, agent or known_hosts: host keys and logins come from the caller only.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncssh

from lazaret.servers.access import (
    AccessError,
    CommandResult,
    CommandTimeout,
    ConnectionLost,
    ConnectionRefusedByHost,
    HostKeyChanged,
    HostSilent,
    Login,
    LoginRefused,
    NoBanner,
    PasswordLogin,
    PortState,
    RemoteSession,
    SshEndpoint,
)

OUTPUT_LIMIT = 1024 * 1024
"""Bytes kept of each stream of a command."""
KEEPALIVE_S = 5
KEEPALIVE_MISSES = 3
_HOST_KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")

logging.getLogger("asyncssh").setLevel(logging.WARNING)  # its debug lines show what is sent


class AsyncSshAccess:
    """SSH and TCP from this machine."""

    async def probe_port(self, address: str, port: int, *, timeout_s: float = 3) -> PortState:
        try:
            async with asyncio.timeout(timeout_s):
                _, writer = await asyncio.open_connection(address, port)
        except ConnectionRefusedError:
            return PortState.REFUSED
        except (TimeoutError, OSError):
            return PortState.SILENT
        writer.close()
        return PortState.OPEN

    async def read_host_keys(self, endpoint: SshEndpoint, *, timeout_s: float = 10) -> tuple[str, ...]:
        """One handshake for each type of key; ed25519 first, and the others only where it is missing."""
        for key_type in _HOST_KEY_TYPES:
            with _translated(endpoint):
                async with asyncio.timeout(timeout_s):
                    try:
                        key = await asyncssh.get_server_host_key(
                            endpoint.address, endpoint.port, config=None, server_host_key_algs=[key_type]
                        )
                    except asyncssh.KeyExchangeFailed:
                        continue
            if key is not None:
                return (_public_part(key),)
        raise NoBanner(f"{endpoint.address} offers no host key of a kind that we accept.")

    def connect(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], login: Login, timeout_s: float = 15
    ) -> AbstractAsyncContextManager[RemoteSession]:
        return self._open(endpoint, host_keys, login, timeout_s)

    @asynccontextmanager
    async def _open(
        self, endpoint: SshEndpoint, host_keys: Sequence[str], login: Login, timeout_s: float
    ) -> AsyncIterator[RemoteSession]:
        options = _options(endpoint, host_keys, timeout_s) | _credentials(login)
        with _translated(endpoint):
            async with asyncio.timeout(timeout_s + 1):
                connection = await asyncssh.connect(endpoint.address, endpoint.port, **options)
        try:
            yield _Session(connection, endpoint)
        finally:
            connection.close()
            with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
                async with asyncio.timeout(2):
                    await connection.wait_closed()

    async def offers_password_login(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], timeout_s: float = 10
    ) -> bool:
        """Asks which methods the host would accept, by offering none. asyncssh checks no host key here, so we do."""
        if not set(await self.read_host_keys(endpoint, timeout_s=timeout_s)) & set(host_keys):
            raise _key_changed(endpoint)
        options = asyncssh.SSHClientConnectionOptions(**_options(endpoint, host_keys, timeout_s))
        with _translated(endpoint):
            async with asyncio.timeout(timeout_s):
                methods = await asyncssh.get_server_auth_methods(endpoint.address, endpoint.port, options=options)
        return bool({"password", "keyboard-interactive"} & set(methods))


class _Session:
    """One open connection; fulfils `RemoteSession`."""

    def __init__(self, connection: asyncssh.SSHClientConnection, endpoint: SshEndpoint) -> None:
        self._connection = connection
        self._endpoint = endpoint

    async def run(self, command: str, *, stdin: str = "", timeout_s: float = 30) -> CommandResult:
        try:
            async with asyncio.timeout(timeout_s):
                done = await self._connection.run(command, input=stdin, check=False, encoding="utf-8", errors="replace")
        except TimeoutError:
            self._connection.abort()
            raise CommandTimeout(f"A command on {self._endpoint.address} took longer than {timeout_s:.0f} s.") from None
        except (asyncssh.Error, OSError) as error:
            raise ConnectionLost(
                f"The connection to {self._endpoint.address} ended in the middle of a command: {type(error).__name__}."
            ) from None
        if done.exit_status is None:
            raise ConnectionLost(f"The connection to {self._endpoint.address} ended in the middle of a command.")
        return CommandResult(done.exit_status, _text(done.stdout), _text(done.stderr))


def _text(stream: object) -> str:
    return str(stream or "")[:OUTPUT_LIMIT]


def _options(endpoint: SshEndpoint, host_keys: Sequence[str], timeout_s: float) -> dict[str, Any]:
    """Nothing of the user's own configuration; only the given host keys are trusted."""
    trusted = [asyncssh.import_public_key(key) for key in host_keys]
    return {
        "username": endpoint.user,
        "config": None,
        "known_hosts": (trusted, [], []),
        "agent_path": None,
        "gss_host": None,
        "x509_trusted_certs": [],
        "connect_timeout": timeout_s,
        "login_timeout": timeout_s,
        "keepalive_interval": KEEPALIVE_S,
        "keepalive_count_max": KEEPALIVE_MISSES,
    }


def _credentials(login: Login) -> dict[str, Any]:
    """Either the password or the key, never one after the other."""
    if isinstance(login, PasswordLogin):
        return {
            "password": login.password.get_secret_value(),
            "client_keys": None,
            "preferred_auth": "password,keyboard-interactive",
        }
    return {"password": None, "client_keys": [str(login.private_key)], "preferred_auth": "publickey"}


def _public_part(key: asyncssh.SSHKey) -> str:
    """`<type> <base64>`, without comment."""
    return " ".join(key.export_public_key().decode().split()[:2])


@contextlib.contextmanager
def _translated(endpoint: SshEndpoint) -> Iterator[None]:
    """asyncssh's and the system's errors as ours."""
    where = f"{endpoint.address} port {endpoint.port}"
    try:
        yield
    except AccessError:
        raise
    except asyncssh.HostKeyNotVerifiable:
        raise _key_changed(endpoint) from None
    except asyncssh.PermissionDenied:
        raise LoginRefused(f"{where} does not accept this login.") from None
    except ConnectionRefusedError:
        raise ConnectionRefusedByHost(f"{where} refuses connections.") from None
    except (asyncssh.ConnectionLost, asyncssh.DisconnectError, ConnectionResetError, EOFError):
        raise NoBanner(f"{where} accepts connections, but SSH does not answer on them.") from None
    except TimeoutError:
        raise HostSilent(f"{where} does not answer in time.") from None
    except OSError as error:
        raise HostSilent(f"{where} cannot be reached: {error.strerror or type(error).__name__}.") from None


def _key_changed(endpoint: SshEndpoint) -> HostKeyChanged:
    return HostKeyChanged(
        f"{endpoint.address} port {endpoint.port} presents a host key that is not pinned for it.",
        hint="Nothing secret was sent.",
    )
