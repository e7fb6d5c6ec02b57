"""Routes of servers: `/api/servers/`, with the plan's triggers."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.entrypoints.api.incidents import IncidentAnswer, incident_page
from lazaret.entrypoints.api.operations import OperationAnswer, operation_page
from lazaret.entrypoints.api.security import OfficeDep, Operator, Viewer, actor_of
from lazaret.entrypoints.api.shapes import Answer, Handle, LongText, Page, Request, ShortText, WindowDep
from lazaret.kernel.audit import Actor
from lazaret.kernel.errors import InvalidInput
from lazaret.provisioning import requests
from lazaret.servers import store
from lazaret.servers.model import Presence, RebuildPolicy
from lazaret.servers.provider import Capability
from lazaret.servers.status import ServerStatus

router = APIRouter(prefix="/api/servers", tags=["servers"])


class ServerAnswer(Answer):
    """One rented server."""

    handle: str
    provider: str
    provider_id: int
    capabilities: list[Capability]
    """What its provider can do for it from outside."""
    host: str
    label: str
    public_ip: str | None
    ssh_user: str
    ssh_port: int
    is_managed: bool
    status: ServerStatus
    status_since: datetime
    status_reason: str
    presence: Presence
    last_listed_at: datetime | None
    os_template: str | None
    capacity_cpu: int | None
    capacity_ram_mb: int | None
    capacity_disk_mb: int | None
    last_health_check: datetime | None
    provisioning_attempts: int
    last_incident: datetime | None
    provisioned_at: datetime | None
    baseline_version: str | None
    host_keys: list[str]
    host_key_epoch: int
    rebuild_policy: RebuildPolicy
    labels: dict[str, Any]
    notes: str
    created_at: datetime
    updated_at: datetime


class WantedStatus(StrEnum):
    """What a caller may ask a server's status to become."""

    FORCE_REBUILD = "force_rebuild"
    """Set it up from the start; data goes unless `reinstall` is false."""
    MAINTENANCE = "maintenance"
    """Take it out of automatic care."""
    READY = "ready"
    """End its maintenance; what it then is follows from what is true."""
    DECOMMISSIONED = "decommissioned"
    """Take it out of service for good."""


class ServerChange(Request):
    """What may be changed of a server. `reinstall` and `os_template` belong to the status `force_rebuild`."""

    status: WantedStatus | None = None
    reinstall: bool | None = None
    os_template: ShortText | None = None
    reason: ShortText = ""
    notes: LongText | None = None
    rebuild_policy: RebuildPolicy | None = None


class RebuildRequest(Request):
    """A rebuild; data goes unless `reinstall` is false."""

    reinstall: bool = True
    os_template: ShortText | None = None
    reason: ShortText = ""


class ProvisionRequest(Request):
    """Provision again; data stays."""

    root_password: SecretStr | None = Field(None, description="Stored encrypted, used once, then forgotten.")
    converge: bool = Field(False, description="Run the playbook even where the baseline holds.")
    reason: ShortText = ""


@router.get("/")
async def list_servers(
    _: Viewer,
    office: OfficeDep,
    window: WindowDep,
    status: Annotated[list[ServerStatus] | None, Query()] = None,
    is_managed: bool | None = None,
    search: ShortText = "",
) -> Page[ServerAnswer]:
    """The fleet, by provider id."""
    async with office.db.transaction() as session:
        rows, total = await store.list_servers(
            session,
            statuses=status or [],
            is_managed=is_managed,
            search=search,
            limit=window.limit,
            offset=window.offset,
        )
    items = [ServerAnswer.model_validate(row) for row in rows]
    return Page(items=items, total=total, limit=window.limit, offset=window.offset)


@router.get("/{handle}")
async def get_server(handle: Handle, _: Viewer, office: OfficeDep) -> ServerAnswer:
    """One server."""
    async with office.db.transaction() as session:
        return ServerAnswer.model_validate(await store.get_server(session, handle))


@router.patch("/{handle}")
async def change_server(handle: Handle, body: ServerChange, caller: Operator, office: OfficeDep) -> ServerAnswer:
    """Change a server. `{"status": "force_rebuild"}` triggers a rebuild."""
    if body.status is not WantedStatus.FORCE_REBUILD and (body.reinstall is not None or body.os_template):
        raise InvalidInput("reinstall and os_template belong to the status force_rebuild.", hint="Leave them out.")
    actor, now = actor_of(caller), office.clock.now()
    async with office.db.transaction() as session:
        if body.status is not None:
            await _change_status(session, handle, body, actor, office)
        changed = await requests.describe(
            session, handle, actor, at=now, rebuild_policy=body.rebuild_policy, notes=body.notes, reason=body.reason
        )
        return ServerAnswer.model_validate(changed)


async def _change_status(
    session: AsyncSession, handle: str, body: ServerChange, actor: Actor, office: OfficeDep
) -> None:
    now = office.clock.now()
    if body.status is WantedStatus.FORCE_REBUILD:
        reinstall = body.reinstall is not False
        await office.desk.rebuild(
            session, handle, actor, at=now, reason=body.reason, reinstall=reinstall, os_template=body.os_template
        )
    elif body.status is not None:
        wanted = requests.SetByHand(body.status.value)
        await requests.set_status(session, handle, wanted, actor, at=now, reason=body.reason)


@router.post("/{handle}/force-rebuild", status_code=202)
async def force_rebuild(
    handle: Handle, caller: Operator, office: OfficeDep, body: RebuildRequest | None = None
) -> OperationAnswer:
    """Trigger a rebuild. Data goes unless `reinstall` is false."""
    wanted = body or RebuildRequest()
    async with office.db.transaction() as session:
        operation = await office.desk.rebuild(
            session, handle, actor_of(caller), at=office.clock.now(), **wanted.model_dump()
        )
        return OperationAnswer.model_validate(operation)


@router.post("/{handle}/provision", status_code=202)
async def provision(
    handle: Handle, caller: Operator, office: OfficeDep, body: ProvisionRequest | None = None
) -> OperationAnswer:
    """Provision a server again, or give the root password to the operation that waits for it."""
    wanted = body or ProvisionRequest()
    async with office.db.transaction() as session:
        operation = await office.desk.provision(
            session,
            handle,
            actor_of(caller),
            at=office.clock.now(),
            reason=wanted.reason,
            root_password=wanted.root_password,
            converge=wanted.converge,
        )
        return OperationAnswer.model_validate(operation)


@router.get("/{handle}/incidents")
async def list_incidents_of(handle: Handle, _: Viewer, office: OfficeDep, window: WindowDep) -> Page[IncidentAnswer]:
    """The server's incidents, newest first."""
    await get_server(handle, _, office)
    return await incident_page(office, window, handle, [], None)


@router.get("/{handle}/operations")
async def list_operations_of(
    handle: Handle, caller: Viewer, office: OfficeDep, window: WindowDep
) -> Page[OperationAnswer]:
    """The server's operations, newest first; `logs` in their results are for operators."""
    await get_server(handle, caller, office)
    return await operation_page(office, window, handle, [], caller.role)
