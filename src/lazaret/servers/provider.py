"""What Lazaret needs of a company that rents servers: the Protocol, its values and its errors.

Owns the words; knows nothing of HTTP. `adapters/time4vps` and `lab` fulfil it; `tests/contract` holds the suite.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Protocol

from pydantic import SecretStr

from lazaret.kernel.errors import Category, LazaretError
from lazaret.servers.access import Login


class Capability(StrEnum):
    """What a provider can do for a server; a ladder skips what is missing."""

    REBOOT = "reboot"
    """Restart the machine from outside."""
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of an action
    """Set a new root password; data stays."""
    REINSTALL = "reinstall"
    """Put a fresh operating system on the disk; data goes."""
    FLUSH_FIREWALL = "flush_firewall"
    """Drop the packet filter rules inside the machine."""


@dataclass(frozen=True, slots=True)
class ListedServer:
    """One row of the provider's list. `public_ip` is None where the provider gave none."""

    server_id: int
    public_ip: str | None
    hostname: str
    label: str = ""
    ssh_port: int | None = None
    """None: the configured one."""
    ssh_user: str | None = None
    """None: root."""
    host_keys: tuple[str, ...] = ()
    """SSH host keys that are known beforehand, each `<type> <base64>`. Empty: trusted on first use."""
    is_managed: bool = False
    """Of a list that is the operator's own: whether it allows us to change the server."""


@dataclass(frozen=True, slots=True)
class ProviderTask:
    """A task of the provider's. It is over when `completed_at` is set, which says nothing about success.

    `result` may carry a root password, so it is secret; `Provider.password_in` takes it out.
    """

    name: str
    task_id: int | None = None
    activated_at: datetime | None = None
    assigned_at: datetime | None = None
    completed_at: datetime | None = None
    result: SecretStr = field(default_factory=lambda: SecretStr(""))

    @property
    def is_over(self) -> bool:
        return self.completed_at is not None


@dataclass(frozen=True, slots=True)
class ServerDetails:
    """The provider's view of one server. Sizes in MiB; figures may lag by minutes and are never a sign of life."""

    server_id: int
    public_ip: str | None
    hostname: str
    label: str
    status: str
    os_template: str | None
    cpu_cores: int | None
    ram_mb: int | None
    disk_mb: int | None
    active_task: ProviderTask | None = None
    last_tasks: tuple[ProviderTask, ...] = ()
    """Finished tasks, oldest first."""


@dataclass(frozen=True, slots=True)
class OsTemplate:
    """An operating system that the provider can install on a server."""

    os: str
    title: str


class ProviderError(LazaretError):
    """The provider did not do what we asked."""

    code = "provider_error"
    category = Category.UNAVAILABLE


class ProviderUnavailable(ProviderError):
    """No usable answer: connection refused or cut, time-out, 5xx, a page of HTML.

    Of a reading call this is harmless. An action call that ends so *may have been executed* unless
    `certainly_not_sent` is true: read back `active_task` and `last_tasks` before doing anything else.
    """

    code = "provider_unavailable"
    retryable = True

    def __init__(self, message: str, *, certainly_not_sent: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint, certainly_not_sent=certainly_not_sent)
        self.certainly_not_sent = certainly_not_sent


class ProviderThrottled(ProviderError):
    """Too many calls; the action was certainly not executed. A running task is not touched by this."""

    code = "provider_throttled"
    retryable = True

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message, hint=f"It may be asked again in {wait_s:.0f} s.", wait_s=wait_s)
        self.wait_s = wait_s


class ProviderLoginRefused(ProviderError):
    """User name or password are wrong. Never retried: repeated bad logins may lock the account."""

    code = "provider_login_refused"
    category: ClassVar[Category] = Category.INVALID


class ProviderAddressNotAllowed(ProviderError):
    """The login is right, but this machine's address is not on the account's allowlist. Never retried."""

    code = "provider_address_not_allowed"
    category: ClassVar[Category] = Category.INVALID


class ProviderRefused(ProviderError):
    """The provider understood and said no (unknown server, bad parameter, action without a task id)."""

    code = "provider_refused"
    category: ClassVar[Category] = Category.CONFLICT


class ProviderCannot(ProviderRefused):
    """The provider has no such action: it is not among its capabilities. Nothing was asked of anybody."""

    code = "provider_cannot"


class ProviderBusy(ProviderRefused):
    """Another task runs on this server; the action was not begun."""

    code = "provider_busy"
    retryable = True


class ProviderTaskUnknown(ProviderRefused):
    """The provider does not know that task (any more)."""

    code = "provider_task_unknown"


class ProviderTaskTimeout(ProviderError):
    """The task did not end within the time allowed. It may still end: never start another because of this."""

    code = "provider_task_timeout"
    retryable = True


class PasswordNotInResult(ProviderError):
    """The task is over, but its result holds no password."""

    code = "password_not_in_result"


class Provider(Protocol):
    """One account at one provider. Identifiers are the provider's own positive integers.

    Every method may raise `ProviderUnavailable`, `ProviderThrottled`, `ProviderLoginRefused`,
    `ProviderAddressNotAllowed` or `ProviderRefused`. Reading calls retry by themselves; action calls never do.
    An action that is not among the `capabilities` raises `ProviderCannot`.
    """

    name: str
    capabilities: frozenset[Capability]
    task_names: Mapping[Capability, str]
    """What the provider calls the task of each of its actions: so a task is found again when its id was lost."""

    async def list_servers(self) -> list[ListedServer]:
        """All servers of the account, complete, or an error: a part of the list is never returned."""
        ...

    async def get_server(self, server_id: int, *, fresh: bool = False) -> ServerDetails:
        """Details of one server; from a cache of some minutes unless `fresh`."""
        ...

    async def list_os(self, server_id: int) -> list[OsTemplate]:
        """Operating systems that can be installed on this server."""
        ...

    async def first_login(self, server_id: int) -> Login | None:
        """A login that the operator left for the first visit, or None. Read right before use and never stored."""
        ...

    async def reboot(self, server_id: int) -> int:
        """Ask for a reboot; returns the task id."""
        ...

    async def reinstall(self, server_id: int, os: str) -> int:
        """Ask for a fresh operating system. Erases the disk and the provider's backups. Returns the task id."""
        ...

    async def reset_password(self, server_id: int) -> int:
        """Ask for a new root password; returns the task id."""
        ...

    async def flush_firewall(self, server_id: int) -> int:
        """Ask to drop the packet filter rules; returns the task id."""
        ...

    async def get_task_result(self, server_id: int, task_id: int) -> ProviderTask:
        """State of a task."""
        ...

    async def wait_for_task(self, server_id: int, task_id: int, *, timeout_s: float) -> ProviderTask:
        """Poll until the task is over. Throttling and failed polls delay it and never end it; else
        `ProviderTaskTimeout`."""
        ...

    async def wait_for_password_reset(self, server_id: int, task_id: int, *, timeout_s: float = 300) -> SecretStr:
        """Poll until the task is over and return the root password in its result, else `PasswordNotInResult`."""
        ...

    def password_in(self, task: ProviderTask) -> SecretStr | None:
        """The root password that a finished reset or reinstall carries, or None. Pure; no call."""
        ...


class CallBudget(Protocol):
    """How many calls one provider account may still make, shared by all processes."""

    async def acquire(self, *, urgent: bool, within_s: float | None = None) -> None:
        """Take one call, waiting until there is one. A reserve is kept for `urgent` callers (actions, recoveries).

        Raises `ProviderThrottled`, without waiting, when there will be none within `within_s` seconds.
        """
        ...

    async def block_for(self, seconds: float) -> None:
        """The provider told everybody to wait: nobody gets a call for this long."""
        ...
