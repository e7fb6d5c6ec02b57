"""What a provisioning step may use: the parts wired at start, and what the tables say of the server right now."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.documents import document
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.secrets import SecretStore
from lazaret.operations.model import Operation, OperationKind
from lazaret.operations.run import OperationRun
from lazaret.operations.store import get_operation
from lazaret.servers import store as servers
from lazaret.servers.access import KeyLogin, RemoteAccess, SshEndpoint
from lazaret.servers.configuration import ConfigurationRunner
from lazaret.servers.guard import Target, require_same_machine
from lazaret.servers.model import Server
from lazaret.servers.permissions import Permissions
from lazaret.servers.provider import Provider, ServerDetails

ROOT_PASSWORD = "root_password"  # noqa: S105 - the kind under which the secret is stored


def secret_owner(handle: str) -> str:
    """Under whose name the secrets of a server are stored."""
    return f"server:{handle}"


class ServiceRedeployer(Protocol):
    """Brings back what ran on a server. Fulfilled by the deployments' side; steps know only this."""

    async def redeploy(self, run: OperationRun, handle: str) -> list[str]:
        """Bring every running service of the server back in order; returns their names. Raises `ServicesNotBack`."""
        ...

    async def has_services(self, session: AsyncSession, handle: str) -> bool:
        """Whether services run on the server, which makes it `in_use`."""
        ...


class NoServices:
    """Until deployments exist there is nothing to bring back."""

    async def redeploy(self, run: OperationRun, handle: str) -> list[str]:  # noqa: ARG002 - the Protocol's names
        return []

    async def has_services(self, session: AsyncSession, handle: str) -> bool:  # noqa: ARG002 - the Protocol's names
        return False


@dataclass(frozen=True, slots=True)
class AccessKey:
    """The key pair with which Lazaret logs in."""

    private_key: Path
    public_key: str
    """One line, `<type> <base64> <comment>`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds."""

    converge_s: float = 600
    password_reset_s: float = 300
    reinstall_s: float = 900
    ssh_s: float = 300
    busy_s: float = 900
    """For a task of somebody else to end."""
    poll_s: float = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that provisioning needs and does not own."""

    providers: Mapping[str, Provider]
    """By name, as `servers.provider` holds it."""
    access: RemoteAccess
    configuration: ConfigurationRunner
    secrets: SecretStore
    key: AccessKey
    permissions: Permissions
    limits: Limits = Limits()
    default_os: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    baseline_version: str = ""
    """Version of the playbook with its roles; a host that has it needs no converging."""
    redeployer: ServiceRedeployer = field(default_factory=NoServices)


class ProviderNotConfigured(LazaretError):
    """The server is of a provider whose settings are missing in this process."""

    code = "provider_not_configured"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The server and the intent as they stood when the step began."""

    target: Target
    provider: Provider
    endpoint: SshEndpoint
    host: str
    host_keys: tuple[str, ...]
    provisioned: bool
    os_template: str | None
    kind: str
    params: Mapping[str, Any]

    @property
    def wants_reinstall(self) -> bool:
        return self.params.get("reinstall") is True

    @property
    def brings_services_back(self) -> bool:
        """Whether what should run there may be gone: a server that is rebuilt, or that was lost."""
        return self.kind == OperationKind.REBUILD or self.is_incident_recovery

    @property
    def is_incident_recovery(self) -> bool:
        return self.params.get("is_incident_recovery") is True


@dataclass(frozen=True, slots=True)
class StepContext:
    """Handed to every step."""

    run: OperationRun
    parts: Parts

    @property
    def login(self) -> KeyLogin:
        return KeyLogin(self.parts.key.private_key)

    async def snapshot(self) -> Snapshot:
        """Read the server and the operation afresh. Raises `ProviderNotConfigured`."""
        async with self.run.db.transaction() as session:
            server = await servers.get_server(session, self.run.handle)
            operation = await get_operation(session, self.run.operation_id)
            return _snapshot_of(server, self._provider_of(server), operation)

    def _provider_of(self, server: Server) -> Provider:
        provider = self.parts.providers.get(server.provider)
        if provider is None:
            raise ProviderNotConfigured(
                f"{server.handle} is of the provider {server.provider}, which is not set up here.",
                hint=f"Give the worker that provider's settings (see {document('.env.example')}), "
                "or decommission the server.",
            )
        return provider

    async def require_managed(self) -> None:
        """Raise `TouchRefused` when the operator took the server off the list since the operation began."""
        self.parts.permissions.require_touchable((await self.snapshot()).target)

    async def prove_touchable(self, snapshot: Snapshot) -> ServerDetails:
        """The provider's fresh details, after proving that this is the machine and that it may be touched now."""
        async with self.run.db.transaction() as session:
            server = await servers.get_server(session, self.run.handle)
            holds = await servers.holds_on(session, self.run.handle, at=self.run.clock.now())
            reasons = [hold.reason for hold in holds]
            self.parts.permissions.require_touchable(servers.target_of(server), holds=reasons)
        details = await snapshot.provider.get_server(snapshot.target.provider_id, fresh=True)
        require_same_machine(snapshot.target, details)
        return details


def _snapshot_of(server: Server, provider: Provider, operation: Operation) -> Snapshot:
    return Snapshot(
        target=servers.target_of(server),
        provider=provider,
        endpoint=SshEndpoint(server.public_ip or "", server.ssh_port, server.ssh_user),
        host=server.host,
        host_keys=tuple(server.host_keys),
        provisioned=server.provisioned_at is not None,
        os_template=server.os_template,
        kind=operation.kind,
        params=operation.params,
    )
