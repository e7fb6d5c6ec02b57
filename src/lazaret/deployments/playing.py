"""How a service reaches its server: the variables of `deploy_service`, and running it. Acts on one machine.

What Lazaret does to a server for a deployment goes through here, and the guard is asked each time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lazaret.deployments import store
from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.spec import ServiceSpec, compose_of
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.secrets import Redactor, SecretStore
from lazaret.operations.run import OperationRun
from lazaret.servers.access import PortState, RemoteAccess, SshEndpoint
from lazaret.servers.configuration import ConfigurationRunner, PlaybookResult, TaskEvent
from lazaret.servers.permissions import Permissions
from lazaret.servers.store import get_server, target_of

PLAYBOOK = "deploy_service"
SLACK_S = 300.0
"""Beyond its health check's time-out, a deployment may pull images for so long."""

State = Literal["deployed", "stopped", "removed", "logs"]


class DeployFailed(LazaretError):
    """The service could not be brought to its state; the message says what the server said."""

    code = "deploy_failed"


class ServerUnreachable(LazaretError):
    """The server could not be reached while it was deployed to; trying again is safe."""

    code = "server_unreachable"
    retryable = True


@dataclass(frozen=True, slots=True)
class DeployParts:
    """What deploying needs and does not own."""

    configuration: ConfigurationRunner
    access: RemoteAccess
    secrets: SecretStore
    private_key: Path
    redactor: Redactor
    permissions: Permissions


async def play(
    parts: DeployParts,
    run: OperationRun,
    deployment: ServiceDeployment,
    state: State,
    *,
    spec: ServiceSpec | None = None,
    lines: int = 200,
) -> PlaybookResult:
    """Run the playbook. Raises `TouchRefused`, `DeployFailed`, `ServerUnreachable`, and what the runner raises."""
    async with run.db.transaction() as session:
        server = await get_server(session, deployment.server_handle)
        # Without the holds: what a hold finds at work goes on to its end.
        parts.permissions.require_touchable(target_of(server))
        running = await store.specs_running(session, [server.handle])
    ports = {other.port for other, kept in running if kept.get("is_public") and other.id != deployment.id}
    if state == "deployed" and spec is not None and spec.is_public:
        ports.add(deployment.port)
    endpoint = SshEndpoint(server.public_ip or "", server.ssh_port, server.ssh_user)

    async def show(event: TaskEvent) -> None:
        await run.note(
            event.message or event.task,
            kind="task",
            task=event.task,
            state=event.state.value,
            position=event.position,
            total=event.total,
        )

    result = await parts.configuration.run(
        PLAYBOOK,
        endpoint,
        host_keys=server.host_keys,
        private_key=parts.private_key,
        variables=variables_of(deployment, state, spec, sorted(ports), ssh_port=server.ssh_port, lines=lines),
        on_event=show,
        timeout_s=SLACK_S + (spec.health.timeout_s if spec else 0),
    )
    if result.unreachable:
        raise ServerUnreachable(f"{server.handle} could not be reached: {parts.redactor.clean(result.error)[:300]}")
    if not result.ok:
        raise DeployFailed(parts.redactor.clean(result.error)[:800], hint="The operation's log has the details.")
    return result


def variables_of(
    deployment: ServiceDeployment,
    state: State,
    spec: ServiceSpec | None,
    ports: Sequence[int],
    *,
    ssh_port: int,
    lines: int = 200,
) -> dict[str, Any]:
    """The playbook's variables. Pure. The name of the one that holds secrets hides its values from all events."""
    variables: dict[str, Any] = {
        "service_name": deployment.service_name,
        "service_state": state,
        "service_port": deployment.port,
        "service_log_lines": lines,
        "published_tcp_ports": list(ports),
        "ssh_port": ssh_port,
    }
    if spec is None:
        return variables
    secrets = {name: value.get_secret_value() for name, value in spec.secrets.items()}
    return variables | {
        "service_compose_file": compose_of(deployment.service_name, spec),
        "service_environment_secrets": {**spec.environment, **secrets},
        "service_files": dict(spec.files),
        "service_health": spec.health.model_dump(mode="json"),
    }


async def answers_from_outside(parts: DeployParts, run: OperationRun, deployment: ServiceDeployment) -> bool:
    """Whether the public port takes a connection from here: what counts is what the world sees."""
    async with run.db.transaction() as session:
        server = await get_server(session, deployment.server_handle)
    for _ in range(5):
        if await parts.access.probe_port(server.public_ip or "", deployment.port, timeout_s=3) is PortState.OPEN:
            return True
        await run.clock.sleep(1)
    return False
