"""Routes of deployments: `/api/deployments/`, and what runs on a server."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, status
from pydantic import Field

from lazaret.deployments import store
from lazaret.deployments.model import DeploymentStatus, ReleaseOutcome
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import ServiceName, ServiceSpec
from lazaret.entrypoints.api.operations import OperationAnswer
from lazaret.entrypoints.api.security import OfficeDep, Operator, Viewer, actor_of
from lazaret.entrypoints.api.shapes import Answer, Digits, Handle, Id, Page, Request, ShortText, SomeText, WindowDep
from lazaret.entrypoints.harbour import harbour_of
from lazaret.servers.store import get_server

router = APIRouter(prefix="/api", tags=["deployments"])


class DeploymentAnswer(Answer):
    """One service on one server."""

    id: int
    project_id: str
    service_name: str
    server_handle: str
    port: int
    deployed_at: datetime | None
    status: DeploymentStatus
    version: int | None
    error: str
    created_by: str
    created_at: datetime
    updated_at: datetime


class ReleaseAnswer(Answer):
    """One version of a service; of its secrets only the names."""

    version: int
    spec: dict[str, Any]
    outcome: ReleaseOutcome
    detail: str
    created_by: str
    created_at: datetime


class DeploymentWithReleases(DeploymentAnswer):
    """A service with its versions."""

    releases: list[ReleaseAnswer] = Field(default_factory=list)


class DeploymentRequest(Request):
    """Deploy a service, or a new version of one. Without a handle the best server is taken."""

    project_id: ServiceName
    service_name: ServiceName
    server_handle: ShortText | None = None
    port: int | None = Field(default=None, ge=1024, le=65535)
    spec: ServiceSpec


class DeploymentAsked(Answer):
    """What was recorded: the operation does it."""

    deployment: DeploymentAnswer
    operation: OperationAnswer


@router.post("/deployments/", status_code=status.HTTP_202_ACCEPTED)
async def deploy(body: DeploymentRequest, caller: Operator, office: OfficeDep) -> DeploymentAsked:
    """Deploy a service, or a new version of it."""
    order = Order(body.project_id, body.service_name, body.spec, body.server_handle, body.port)
    async with office.db.transaction() as session:
        deployment, operation = await harbour_of(office).deploy(session, order, actor_of(caller), at=office.clock.now())
        return DeploymentAsked(
            deployment=DeploymentAnswer.model_validate(deployment), operation=OperationAnswer.model_validate(operation)
        )


@router.get("/deployments/")
async def list_deployments(
    _: Viewer,
    office: OfficeDep,
    window: WindowDep,
    server_handle: SomeText = "",
    project_id: SomeText = "",
    status: Annotated[list[DeploymentStatus] | None, Query()] = None,
) -> Page[DeploymentAnswer]:
    """Services, newest first; removed ones only where their status is asked for."""
    async with office.db.transaction() as session:
        rows, total = await store.list_deployments(
            session,
            handle=server_handle,
            project=project_id,
            statuses=status or [],
            limit=window.limit,
            offset=window.offset,
        )
    items = [DeploymentAnswer.model_validate(row) for row in rows]
    return Page(items=items, total=total, limit=window.limit, offset=window.offset)


@router.get("/deployments/{deployment_id}")
async def get_deployment(deployment_id: Id, _: Viewer, office: OfficeDep) -> DeploymentWithReleases:
    """One service with its versions."""
    async with office.db.transaction() as session:
        answer = DeploymentWithReleases.model_validate(await store.get_deployment(session, deployment_id))
        releases = await store.releases_of(session, deployment_id)
    return answer.model_copy(update={"releases": [ReleaseAnswer.model_validate(row) for row in releases]})


@router.post("/deployments/{deployment_id}/logs", status_code=status.HTTP_202_ACCEPTED)
async def read_logs(
    deployment_id: Id,
    caller: Operator,
    office: OfficeDep,
    lines: Annotated[int, Query(ge=1, le=2000, description="From the end."), Digits] = 200,
) -> OperationAnswer:
    """Ask for the newest lines; they are in the result of the operation, for only a worker reaches the servers."""
    async with office.db.transaction() as session:
        operation = await harbour_of(office).act(
            session, deployment_id, "logs", actor_of(caller), at=office.clock.now(), lines=lines
        )
        return OperationAnswer.model_validate(operation)


@router.post("/deployments/{deployment_id}/{action}", status_code=status.HTTP_202_ACCEPTED)
async def act(
    deployment_id: Id, action: Literal["start", "stop", "redeploy"], caller: Operator, office: OfficeDep
) -> OperationAnswer:
    """Start, stop, or deploy the good version again."""
    async with office.db.transaction() as session:
        operation = await harbour_of(office).act(
            session, deployment_id, action, actor_of(caller), at=office.clock.now()
        )
        return OperationAnswer.model_validate(operation)


@router.delete("/deployments/{deployment_id}", status_code=status.HTTP_202_ACCEPTED)
async def remove(deployment_id: Id, caller: Operator, office: OfficeDep) -> OperationAnswer:
    """Take a service off its server, its named volumes included."""
    async with office.db.transaction() as session:
        operation = await harbour_of(office).act(
            session, deployment_id, "remove", actor_of(caller), at=office.clock.now()
        )
        return OperationAnswer.model_validate(operation)


@router.get("/servers/{handle}/services")
async def services_on_server(handle: Handle, _: Viewer, office: OfficeDep) -> list[DeploymentAnswer]:
    """All services on a server."""
    async with office.db.transaction() as session:
        await get_server(session, handle)
        rows, _total = await store.list_deployments(session, handle=handle, limit=10_000)
        return [DeploymentAnswer.model_validate(row) for row in rows]
