"""How a server is reached: SSH and plain TCP, as a Protocol with typed failures.

Owns the words; `adapters/ssh` fulfils it. Host keys are given by the caller and never learned on the way: only
`read_host_keys` accepts an unknown host, and it sends nothing secret.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from lazaret.kernel.errors import Category, LazaretError


@dataclass(frozen=True, slots=True)
class SshEndpoint:
    """Where and as whom to log in."""

    address: str
    port: int = 22
    user: str = "root"


@dataclass(frozen=True, slots=True)
class PasswordLogin:
    """Log in with a password."""

    password: SecretStr


@dataclass(frozen=True, slots=True)
class KeyLogin:
    """Log in with a private key; `private_key` is a file in OpenSSH format, readable by us alone."""

    private_key: Path


Login = PasswordLogin | KeyLogin


class PortState(StrEnum):
    """What a TCP connect from outside met."""

    OPEN = "open"
    """The connection was accepted."""
    REFUSED = "refused"
    """The host answered with a reset: reachable, nothing listens."""
    SILENT = "silent"
    """No answer within the time allowed: filtered, or the host is gone."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a remote command left behind. Output is UTF-8 with replacement characters, at most 1 MiB per stream."""

    exit_status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.exit_status == 0


class AccessError(LazaretError):
    """A server could not be reached or did not let us in."""

    code = "access_failed"
    category = Category.UNAVAILABLE
    retryable = True


class HostSilent(AccessError):
    """TCP connect got no answer."""

    code = "host_silent"


class ConnectionRefusedByHost(AccessError):
    """TCP connect was refused: the machine is up, its SSH server is not."""

    code = "connection_refused"


class NoBanner(AccessError):
    """TCP is accepted, but SSH says nothing in time, or nothing that we understand: starting, overloaded or hung."""

    code = "no_banner"


class HungUp(NoBanner):
    """TCP is accepted and ended again from there before a login: somebody is at home and takes nobody in just now.

    OpenSSH does so to those whom it holds off for a while (`PerSourcePenalties`), and when many come at once
    (`MaxStartups`): one of it says next to nothing of the machine.
    """

    code = "hung_up"


class LoginRefused(AccessError):
    """SSH answers, and does not accept this key or password."""

    code = "login_refused"
    retryable = False


class HostKeyChanged(AccessError):
    """The host presents a key that is not pinned for it. Nothing secret was sent."""

    code = "host_key_changed"
    retryable = False


class ConnectionLost(AccessError):
    """The connection ended in the middle of a command; whether the command took effect is unknown."""

    code = "connection_lost"


class CommandTimeout(AccessError):
    """The command did not end in time; the connection was closed."""

    code = "command_timeout"


class RemoteSession(Protocol):
    """One open, authenticated connection."""

    async def run(self, command: str, *, stdin: str = "", timeout_s: float = 30) -> CommandResult:
        """Run a shell command and wait for it. A non-zero exit is a result, not an error.

        Secrets go through `stdin`, never into `command`. Raises `ConnectionLost` or `CommandTimeout`.
        """
        ...


class RemoteAccess(Protocol):
    """SSH and TCP from where we stand."""

    async def probe_port(self, address: str, port: int, *, timeout_s: float = 3) -> PortState:
        """One TCP connect. Never raises for what the network does."""
        ...

    async def read_host_keys(self, endpoint: SshEndpoint, *, timeout_s: float = 10) -> tuple[str, ...]:
        """The host's public keys as it presents them, each as `<type> <base64>`; nothing secret is sent.

        Raises `HostSilent`, `ConnectionRefusedByHost` or `NoBanner`.
        """
        ...

    def connect(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], login: Login, timeout_s: float = 15
    ) -> AbstractAsyncContextManager[RemoteSession]:
        """Open a session; only a host that proves one of `host_keys` is spoken to.

        Raises any `AccessError` while opening.
        """
        ...

    async def offers_password_login(
        self, endpoint: SshEndpoint, *, host_keys: Sequence[str], timeout_s: float = 10
    ) -> bool:
        """Whether the host, seen from outside, would consider a password for this user. No password is sent."""
        ...
