"""What people and programs ask of deployments, the same for every channel. Records intents; touches no machine."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments import store
from lazaret.deployments.admission import Candidate, Capacity, Wanted, best, free_port, is_only_unmeasured, why_not
from lazaret.deployments.model import DeploymentStatus, ServiceDeployment
from lazaret.deployments.order import start_order
from lazaret.deployments.spec import NAME, ServiceSpec, check_still_admitted, spec_from
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, InvalidInput
from lazaret.kernel.secrets import SecretStore
from lazaret.operations.intents import Intent, Intents
from lazaret.operations.model import Operation, OperationKind
from lazaret.operations.store import live_operation
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus
from lazaret.servers.store import get_server, holds_on

CapacitySource = Callable[[AsyncSession, Sequence[str]], Awaitable[dict[str, Capacity]]]
"""What was measured to be free on these servers."""
IncidentCount = Callable[[AsyncSession, Sequence[str]], Awaitable[dict[str, int]]]
"""How many incidents are open on these servers."""


class NotAdmitted(Conflict):
    """No server, or not this one, may take the service now; the message says why."""

    code = "not_admitted"


class NotMeasuredYet(NotAdmitted):
    """The server was set up a moment ago; as soon as a monitor has measured it, it may be admitted."""

    code = "not_measured_yet"
    retryable = True


LOWEST_PORT, HIGHEST_PORT = 1024, 65535
_HOW_NAMES_ARE = "Write lower-case letters, digits and hyphens, 40 at most, a hyphen neither first nor last."


@dataclass(frozen=True, slots=True)
class Order:
    """What is to run. Without a handle the best server is taken; without a port the lowest free one.

    Its names become a directory and a project of Docker Compose: whoever asks, others than `NAME` are `InvalidInput`.
    """

    project_id: str
    service_name: str
    spec: ServiceSpec
    server_handle: str | None = None
    port: int | None = None
    reference: str = ""
    """The asker's own mark, kept with the operation."""

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.project_id):
            raise InvalidInput("The project's name is not one.", hint=_HOW_NAMES_ARE)
        if not re.fullmatch(NAME, self.service_name):
            raise InvalidInput("The service's name is not one.", hint=_HOW_NAMES_ARE)
        if self.port is not None and not LOWEST_PORT <= self.port <= HIGHEST_PORT:
            raise InvalidInput(
                "This port cannot be published.", hint=f"Write one from {LOWEST_PORT} to {HIGHEST_PORT}."
            )


@dataclass(frozen=True, slots=True)
class Harbour:
    """Where services are asked for."""

    intents: Intents
    secrets: SecretStore
    ports: range
    capacity: CapacitySource
    incidents: IncidentCount

    async def deploy(
        self, session: AsyncSession, order: Order, actor: audit.Actor, *, at: datetime
    ) -> tuple[ServiceDeployment, Operation]:
        """A new service, or a new version of one that is there. Raises `NotAdmitted`, `Conflict`, `InvalidInput`."""
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtext("lazaret.admission"))))
        known = await self._known(session, order)
        deployment = known or await self._admit(session, order, actor, at=at)
        await self._check_dependencies(session, deployment, order.spec)
        release = await store.add_release(session, self.secrets, deployment, order.spec, by=str(actor), at=at)
        params = {"action": "deploy", "deployment_id": deployment.id, "version": release.version}
        if order.reference:
            params["reference"] = order.reference
        return deployment, await self._ask(session, deployment, actor, params, at=at)

    async def act(
        self,
        session: AsyncSession,
        deployment_id: int,
        action: str,
        actor: audit.Actor,
        *,
        at: datetime,
        lines: int = 200,
    ) -> Operation:
        """`start`, `stop`, `redeploy`, `remove` or `logs` of a service that is there."""
        deployment = await store.get_deployment(session, deployment_id, for_update=True)
        if deployment.status == DeploymentStatus.REMOVED:
            raise Conflict(f"Deployment {deployment_id} is removed.", hint="Deploy it anew.")
        if action in {"start", "redeploy"} and deployment.version is None:
            raise Conflict(f"No version of {deployment.service_name} ever ran.", hint="Deploy a new version.")
        if action in {"start", "redeploy"} and deployment.version is not None:
            await self._check_again(session, deployment, deployment.version)
        params: dict[str, Any] = {"action": "start" if action == "redeploy" else action, "deployment_id": deployment_id}
        if action == "logs":
            params["lines"] = lines
        return await self._ask(session, deployment, actor, params, at=at)

    async def _check_again(self, session: AsyncSession, deployment: ServiceDeployment, version: int) -> None:
        """Before anything is stopped for it."""
        kept = (await store.get_release(session, deployment.id, version)).spec
        check_still_admitted(deployment.service_name, version, spec_from(kept, {}))

    async def _ask(
        self,
        session: AsyncSession,
        deployment: ServiceDeployment,
        actor: audit.Actor,
        params: dict[str, Any],
        *,
        at: datetime,
    ) -> Operation:
        reason = f"{params['action']} {deployment.service_name}"
        intent = Intent(OperationKind.DEPLOY, actor, reason, params=params)
        return await self.intents.deploy(session, deployment.server_handle, intent, at=at)

    async def _known(self, session: AsyncSession, order: Order) -> ServiceDeployment | None:
        """The same service of the same project, where it is already."""
        if order.server_handle is not None:
            await get_server(session, order.server_handle)
        found = await store.present_service(
            session, order.project_id, order.service_name, handle=order.server_handle, for_update=True
        )
        if found is not None and order.port not in (None, found.port):
            raise Conflict(
                f"{order.service_name} is on port {found.port} already.", hint="Remove it first, or leave the port out."
            )
        return found

    async def _admit(
        self, session: AsyncSession, order: Order, actor: audit.Actor, *, at: datetime
    ) -> ServiceDeployment:
        wanted = Wanted(order.service_name, order.spec.memory_mb, order.spec.disk_mb, order.port)
        candidates = await self.candidates(session, order.server_handle, at=at)
        chosen = best(candidates, wanted, at=at)
        if chosen is None:
            refused = NotMeasuredYet if is_only_unmeasured(candidates, wanted, at=at) else NotAdmitted
            raise refused(why_not(candidates, wanted, at=at), hint="`lazaret servers` shows what there is.")
        port = order.port or free_port(chosen.ports_taken, self.ports)
        if port is None:
            raise NotAdmitted(f"No port is free on {chosen.handle}.", hint="Widen LAZARET_DEPLOY_PORTS.")
        deployment = ServiceDeployment(
            project_id=order.project_id,
            service_name=order.service_name,
            server_handle=chosen.handle,
            port=port,
            status=DeploymentStatus.DEPLOYING.value,
            created_by=str(actor),
            created_at=at,
            updated_at=at,
        )
        session.add(deployment)
        await session.flush()
        audit.record(
            session,
            actor,
            "deployment.create",
            f"server:{chosen.handle}",
            at=at,
            deployment_id=deployment.id,
            service=order.service_name,
            port=port,
        )
        return deployment

    async def candidates(self, session: AsyncSession, handle: str | None, *, at: datetime) -> list[Candidate]:
        """What is known of one server, or of all managed ones."""
        if handle is not None:
            servers = [await get_server(session, handle)]
        else:
            servers = list(
                await session.scalars(
                    select(Server).where(Server.is_managed).order_by(Server.provider_id, Server.handle)
                )
            )
        handles = [server.handle for server in servers]
        capacity = await self.capacity(session, handles)
        incidents = await self.incidents(session, handles)
        return [
            await self._candidate(session, server, capacity.get(server.handle), incidents.get(server.handle, 0), at)
            for server in servers
        ]

    async def _candidate(
        self, session: AsyncSession, server: Server, capacity: Capacity | None, incidents: int, at: datetime
    ) -> Candidate:
        live = await live_operation(session, server.handle)
        rows, _ = await store.list_deployments(session, handle=server.handle, limit=10_000)
        return Candidate(
            handle=server.handle,
            is_managed=server.is_managed and self.intents.is_allowed(server),
            status=ServerStatus(server.status),
            is_provisioned=server.provisioned_at is not None,
            open_incidents=incidents,
            live_operation=f"operation {live.id} ({live.kind})" if live else "",
            holds=[hold.reason for hold in await holds_on(session, server.handle, at=at)],
            capacity=capacity,
            ports_taken=frozenset(row.port for row in rows) | {server.ssh_port},
            names_taken=frozenset(row.service_name for row in rows),
        )

    async def _check_dependencies(
        self, session: AsyncSession, deployment: ServiceDeployment, spec: ServiceSpec
    ) -> None:
        running = await store.specs_running(session, [deployment.server_handle])
        graph = {other.service_name: kept.get("depends_on", ()) for other, kept in running}
        missing = [name for name in spec.depends_on if name not in graph]
        if missing:
            raise InvalidInput(
                f"{deployment.service_name} depends on {', '.join(missing)}, which does not run on "
                f"{deployment.server_handle}.",
                hint="Deploy that first.",
            )
        start_order({**graph, deployment.service_name: spec.depends_on})
