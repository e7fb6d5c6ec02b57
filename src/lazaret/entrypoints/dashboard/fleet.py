"""The fleet, and one server: what is, why, and what can be asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import FormData
from starlette.responses import Response

from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.store import PRESENT, list_deployments
from lazaret.entrypoints.api.shapes import Handle
from lazaret.entrypoints.dashboard.charts import Chart, chart
from lazaret.entrypoints.dashboard.web import Acting, Seeing, Visit, text_of
from lazaret.healing import requests as healing
from lazaret.healing.why import why
from lazaret.incidents.model import OPEN, Incident
from lazaret.incidents.store import list_incidents
from lazaret.kernel.errors import InvalidInput
from lazaret.operations.model import LIVE, Operation
from lazaret.operations.store import list_operations
from lazaret.probing.model import ReadingSample, ServerHealth
from lazaret.probing.store import health_of, samples_of
from lazaret.provisioning import requests
from lazaret.servers.model import RebuildPolicy, Server
from lazaret.servers.registry import cannot_of
from lazaret.servers.status import OPERATIONAL, ServerStatus
from lazaret.servers.store import get_server, holds_on, is_found_by

router = APIRouter(include_in_schema=False)
PAGE = 50
CHART_HOURS = 6


@dataclass
class Row:
    """One line of the fleet."""

    server: Server
    read_at: datetime | None = None
    because: str = ""
    incident: Incident | None = None
    operation: Operation | None = None
    services: int = 0


SORTS = ("trouble", "name", "reading")


@router.get("/")
async def fleet(visit: Seeing, q: str = "", status: str = "", sort: str = "trouble", page: int = 1) -> Response:
    """The whole fleet, what is in trouble first."""
    wanted = status if status in list(ServerStatus) else ""
    order = sort if sort in SORTS else "trouble"
    search = q.replace("\x00", "")[:100]
    async with visit.office.db.transaction() as session:
        counts = {key: count for key, count in await session.execute(
            select(Server.status, func.count()).group_by(Server.status)
        )}  # fmt: skip
        rows, total, number = await fleet_page(session, search=search, status=wanted, sort=order, page=page)
        holds = await healing.list_holds(session, at=visit.at)
    return visit.page(
        "fleet.html",
        rows=rows,
        total=total,
        page=number,
        pages=max(1, -(-total // PAGE)),
        q=search,
        status=wanted,
        sort=order,
        sorts=SORTS,
        counts=counts,
        statuses=[one for one in ServerStatus if counts.get(one.value)],
        freezes=[hold for hold in holds if hold.server_handle is None],
    )


async def fleet_page(
    session: AsyncSession, *, search: str = "", status: str = "", sort: str = "trouble", page: int = 1
) -> tuple[list[Row], int, int]:
    """One page, how many servers match, and the number of the page; five reads, whatever the size of the fleet."""
    conditions: list[ColumnElement[bool]] = []
    if status:
        conditions.append(Server.status == status)
    if search:
        conditions.append(is_found_by(search))
    total = await session.scalar(select(func.count()).select_from(Server).where(*conditions)) or 0
    number = min(max(1, page), max(1, -(-total // PAGE)))
    calm = case(
        (Server.status == ServerStatus.ERROR.value, 0),
        (Server.status.in_([one.value for one in OPERATIONAL]), 2),
        (Server.status == ServerStatus.RESERVED.value, 3),
        else_=1,
    )
    by_name = (Server.provider_id, Server.handle)
    order: dict[str, Sequence[Any]] = {
        "trouble": (calm, *by_name),
        "name": by_name,
        "reading": (Server.last_health_check.asc().nulls_first(), *by_name),
    }
    found = await session.scalars(
        select(Server).where(*conditions).order_by(*order[sort]).limit(PAGE).offset((number - 1) * PAGE)
    )
    rows = {server.handle: Row(server) for server in found}
    await _fill(session, rows)
    return list(rows.values()), total, number


async def _fill(session: AsyncSession, rows: dict[str, Row]) -> None:
    handles = list(rows)
    for health in await session.scalars(select(ServerHealth).where(ServerHealth.server_handle.in_(handles))):
        row = rows[health.server_handle]
        if health.read_at is not None and (row.read_at is None or health.read_at > row.read_at):
            row.read_at, row.because = health.read_at, health.because
    for incident in await session.scalars(
        select(Incident)
        .where(Incident.server_handle.in_(handles), Incident.status.in_([one.value for one in OPEN]))
        .order_by(Incident.id)
    ):
        rows[incident.server_handle or ""].incident = incident
    for operation in await session.scalars(
        select(Operation).where(Operation.server_handle.in_(handles), Operation.status.in_([one.value for one in LIVE]))
    ):
        rows[operation.server_handle].operation = operation
    counted = await session.execute(
        select(ServiceDeployment.server_handle, func.count())
        .where(ServiceDeployment.server_handle.in_(handles), ServiceDeployment.status.in_(PRESENT))
        .group_by(ServiceDeployment.server_handle)
    )
    for handle, count in counted:
        rows[handle].services = count


@router.get("/servers/{handle}")
async def server(visit: Seeing, handle: Handle) -> Response:
    """One server."""
    since = visit.at - timedelta(hours=CHART_HOURS)
    async with visit.office.db.transaction() as session:
        found = await get_server(session, handle)
        health = await health_of(session, handle)
        samples = await samples_of(session, handle, since=since)
        services, _ = await list_deployments(session, handle=handle, limit=100)
        operations, _ = await list_operations(session, handle=handle, limit=10)
        incidents, _ = await list_incidents(session, handle=handle, limit=10)
        answer = await why(session, handle, at=visit.at)
        holds = await holds_on(session, handle, at=visit.at)
    return visit.page(
        "server.html",
        server=found,
        cannot=cannot_of(found.provider),
        policies=list(RebuildPolicy),
        health=health,
        charts=_charts(visit, samples, since),
        services=services,
        operations=operations,
        incidents=incidents,
        why=answer,
        holds=[hold for hold in holds if hold.server_handle],
        is_live=any(one.status in LIVE for one in operations),
    )


def _charts(visit: Visit, samples: Sequence[ReadingSample], since: datetime) -> list[Chart]:
    lines = (
        (visit.say("Load"), "", [(one.at, one.load_1m) for one in samples], None),
        (
            visit.say("Memory free"),
            f" {visit.say('MB')}",
            [(one.at, float(one.memory_available_mb)) for one in samples],
            None,
        ),
        (
            visit.say("Fullest disk"),
            " %",
            [(one.at, one.disk_used_percent) for one in samples if one.disk_used_percent is not None],
            100.0,
        ),
    )
    made = (chart(title, unit, series, since=since, until=visit.at, top=top) for title, unit, series, top in lines)
    return [one for one in made if one is not None]


@router.post("/servers/{handle}/{action}")
async def act(visit: Acting, handle: Handle, action: str) -> Response:
    """Provision, rebuild, hold, release, maintenance, rebuild policy."""
    form = await visit.request.form()

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            return await _act(visit, session, handle, action, form)

    return await visit.act(f"/servers/{handle}", do)


async def _act(visit: Visit, session: AsyncSession, handle: str, action: str, form: FormData) -> str:
    desk, now, reason = visit.office.desk, visit.at, text_of(form, "reason")
    match action:
        case "provision":
            operation = await desk.provision(session, handle, visit.actor, at=now, reason=reason)
        case "rebuild" | "rebuild-keeping":
            if text_of(form, "typed") != handle:
                raise InvalidInput(
                    visit.say("To rebuild {handle}, type its handle into the field.", handle=handle),
                    hint=visit.say("Nothing was done."),
                )
            keeps = action == "rebuild-keeping"
            operation = await desk.rebuild(session, handle, visit.actor, at=now, reason=reason, reinstall=not keeps)
        case "hold":
            await healing.hold(session, handle, visit.actor, at=now, reason=reason)
            return visit.say("Nothing is done to {handle} until the hold is lifted.", handle=handle)
        case "release":
            await healing.unfreeze(session, handle, visit.actor, at=now)
            return visit.say("The hold is lifted.")
        case "maintenance":
            await requests.start_maintenance(session, handle, visit.actor, at=now, reason=reason)
            return visit.say("{handle} is in maintenance.", handle=handle)
        case "end-maintenance":
            await requests.end_maintenance(session, handle, visit.actor, at=now, reason=reason)
            return visit.say("{handle} is out of maintenance.", handle=handle)
        case "policy":
            wanted = text_of(form, "policy")
            if wanted not in list(RebuildPolicy):
                raise InvalidInput(visit.say("There is no such policy."), hint=visit.say("Choose one of the list."))
            await requests.describe(session, handle, visit.actor, at=now, rebuild_policy=RebuildPolicy(wanted))
            return visit.say("The policy is changed.")
        case _:
            raise InvalidInput(visit.say("There is no such action."), hint="")
    return visit.say("Operation {id} is recorded.", id=operation.id)
