"""Node `devops`: has the service deployed by the desk of deployments, and waits until its health check has passed."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, select

from lazaret.agents.errand import Errand, Waiting, waiting_for
from lazaret.agents.secrets_kept import refuse_to_lose_secrets
from lazaret.agents.state import OrchestratorState
from lazaret.deployments.requests import NotAdmitted, Order
from lazaret.deployments.spec import ServiceSpec
from lazaret.healing.wishes import REFERENCE
from lazaret.kernel.errors import Conflict
from lazaret.operations.intents import OperationInProgress
from lazaret.operations.model import LIVE, Operation, OperationKind, OperationStatus
from lazaret.servers.store import get_server

SETTLES = timedelta(minutes=10)
"""A server that has just been set up is measured within this; until then a refusal may be for want of a reading."""


class DeploymentFailed(Conflict):
    """The version did not run or was not healthy; what ran before runs again."""

    code = "deployment_failed"


async def devops(errand: Errand, state: OrchestratorState) -> dict[str, Any]:
    """Deploys the service to the allotted server, once, and waits for its health check."""

    async def look() -> dict[str, Any] | Waiting:
        try:
            return await _begin_or_look(errand, state)
        except OperationInProgress as error:
            return Waiting(error.message, "server")
        except NotAdmitted as error:
            if not (state.get("server_to_provision") and await _has_just_come(errand, state["server_handle"])):
                raise
            return Waiting(error.message, "server")

    return await errand.wait(look)


async def _begin_or_look(errand: Errand, state: OrchestratorState) -> dict[str, Any] | Waiting:
    async with errand.parts.db.transaction() as session:
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"errand.{errand.reference}"))))
        operation: Operation | None = await session.scalar(
            select(Operation)
            .where(
                Operation.kind == OperationKind.DEPLOY.value,
                Operation.server_handle == state["server_handle"],
                Operation.params[REFERENCE].astext == errand.reference,
            )
            .limit(1)
        )
        if operation is None:
            # Again, now that the server is chosen: the errand may have waited for long.
            await refuse_to_lose_secrets(
                session, state["project_id"], state["service_name"], handle=state["server_handle"]
            )
            order = Order(
                state["project_id"],
                state["service_name"],
                ServiceSpec(**state["spec"]),
                server_handle=state["server_handle"],
                port=state.get("port"),
                reference=errand.reference,
            )
            _, operation = await errand.parts.harbour.deploy(session, order, errand.actor, at=errand.parts.clock.now())
        return _outcome_of(operation)


def _outcome_of(operation: Operation) -> dict[str, Any] | Waiting:
    if OperationStatus(operation.status) in LIVE:
        return waiting_for(operation)
    if operation.status != OperationStatus.SUCCEEDED:
        raise DeploymentFailed(
            operation.error or f"Operation {operation.id} is {operation.status}.",
            hint=operation.hint or f"Operation {operation.id} has every step.",
        )
    return {"deployment_result": {**operation.result, "operation_id": operation.id, "status": "running"}}


async def _has_just_come(errand: Errand, handle: str) -> bool:
    """Whether the server was brought into order so lately that its readings may still be missing."""
    async with errand.parts.db.transaction() as session:
        server = await get_server(session, handle)
    return errand.parts.clock.now() - server.status_since < SETTLES
