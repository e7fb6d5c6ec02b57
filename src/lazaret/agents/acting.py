"""The tools that ask for something to be done. They record intents and questions; nothing here touches a machine."""

from typing import Annotated, Any

from pydantic import Field, ValidationError

from lazaret.agents import answers
from lazaret.agents.call import Call
from lazaret.agents.reading import Handle, SomeHandle
from lazaret.agents.secrets_kept import refuse_to_lose_secrets
from lazaret.agents.state import OrchestratorState
from lazaret.deployments.spec import NAME, ServiceSpec
from lazaret.healing.wishes import LONGEST_REASON, WishKind
from lazaret.kernel.errors import InvalidInput

Reason = Annotated[
    str, Field(min_length=1, max_length=LONGEST_REASON, description="Why, in one sentence that a person reads.")
]
Name = Annotated[str, Field(pattern=NAME, description="Lower-case letters, digits and hyphens.")]
Patience = Annotated[
    float, Field(ge=0, le=50, strict=True, description="Seconds to wait before answering how it stands.")
]


async def provision(
    call: Call,
    *,
    server_handle: Handle,
    reason: Reason,
    is_incident_recovery: Annotated[
        bool, Field(description="The server was in order and is lost: bring it back with its services.")
    ] = False,
) -> dict[str, Any]:
    """Ask a person to have a server set up (again). Data stay.

    This does nothing by itself: it puts a question to the operators, in Telegram and on the dashboard. Follow the
    answer with `get_approval`. `denied` and `expired` mean no: do not ask the same again without a new reason.
    """
    kind = WishKind.RECOVER if is_incident_recovery else WishKind.PROVISION
    async with call.parts.db.transaction() as session:
        row = await call.parts.wishes.ask(
            session, server_handle, kind, call.caller.actor, at=call.parts.clock.now(), reason=reason
        )
        return answers.approval_row(row)


async def deploy(
    call: Call,
    *,
    project_id: Name,
    service_name: Name,
    image: Annotated[str, Field(max_length=300, description="The container image with its tag.")] = "",
    container_port: Annotated[
        int | None, Field(ge=1, le=65535, strict=True, description="The port on which the image listens.")
    ] = None,
    compose: Annotated[
        str, Field(max_length=20_000, description="Instead of an image: a Compose file that publishes ${LAZARET_PORT}.")
    ] = "",
    environment: Annotated[
        dict[str, str] | None, Field(description="Variables. Never put a secret here: a person deploys those.")
    ] = None,
    health_path: Annotated[
        str, Field(max_length=500, description="HTTP path that answers when it is healthy; empty: the containers run.")
    ] = "",
    memory_mb: Annotated[int, Field(ge=1, le=1_048_576, strict=True, description="Memory that it needs.")] = 128,
    disk_mb: Annotated[int, Field(ge=1, le=104_857_600, strict=True, description="Disk that it needs.")] = 512,
    server_handle: SomeHandle = "",
    reason: Annotated[str, Field(max_length=LONGEST_REASON, description="Why, for a person who is asked.")] = "",
    wait_s: Patience = 20,
) -> dict[str, Any]:
    """Deploy a service, or a new version of it, and wait until its health check has passed.

    The server is allotted by the admission rule, unless you name one. A server that must be set up first is set up only
    after a person said yes. When the answer has the state `waiting`, call `follow_errand` with its `errand`; a version
    that is not healthy is replaced by the last good one by itself.
    """
    spec = _spec_of(
        {
            "image": image,
            "container_port": container_port,
            "compose": compose,
            "environment": environment or {},
            "health": {"kind": "http", "path": health_path} if health_path else {"kind": "docker"},
            "memory_mb": memory_mb,
            "disk_mb": disk_mb,
        }
    )
    async with call.parts.db.transaction() as session:
        await refuse_to_lose_secrets(session, project_id, service_name, handle=server_handle or None)
    state = OrchestratorState(
        project_id=project_id,
        service_name=service_name,
        spec=spec.model_dump(mode="json", exclude={"secrets"}),
        server_handle=server_handle,
        port=None,
        reason=reason or f"to deploy {project_id}/{service_name}",
    )
    return await call.agency.orchestrator.run(state, call.caller.actor, wait_s=wait_s)


async def follow_errand(
    call: Call,
    *,
    errand: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="As `deploy` named it.")],
    wait_s: Patience = 20,
) -> dict[str, Any]:
    """Go on with a deployment that waits, and say how it stands: `waiting`, `done` or `refused`."""
    return await call.agency.orchestrator.run(None, call.caller.actor, reference=errand, wait_s=wait_s)


def _spec_of(wanted: dict[str, Any]) -> ServiceSpec:
    try:
        return ServiceSpec.model_validate(wanted)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the service"
        raise InvalidInput(
            f"{place}: {first['msg'].removeprefix('Value error, ')}.", hint="Mend the argument and call again."
        ) from None
