"""Routes of incidents: `/api/incidents/`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response, status
from pydantic import Field

from lazaret.entrypoints.api.security import OfficeDep, Operator, Viewer, actor_of
from lazaret.entrypoints.api.shapes import Answer, Facts, Id, Names, Page, Request, ShortText, SomeText, WindowDep
from lazaret.incidents import store
from lazaret.incidents.model import OPEN, IncidentStatus, IncidentType

router = APIRouter(prefix="/api/incidents", tags=["incidents"])


class IncidentAnswer(Answer):
    """What went wrong on a server."""

    id: int
    server_handle: str | None
    incident_type: IncidentType
    cause: str
    status: IncidentStatus
    began_at: datetime
    detected_at: datetime
    resolved_at: datetime | None
    details: dict[str, Any]
    affected_services: list[Any]
    recovery_attempts: int
    parent_id: int | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class IncidentRequest(Request):
    """Open an incident; one that is open already for this server and type is added to."""

    server_handle: ShortText
    incident_type: IncidentType
    details: Facts = Field(default_factory=dict)
    affected_services: Names = Field(default_factory=list)


class IncidentChange(Request):
    """Move an incident on; `details` are added to what is there."""

    status: IncidentStatus
    details: Facts = Field(default_factory=dict)


@router.post("/", status_code=status.HTTP_201_CREATED, responses={200: {"model": IncidentAnswer}})
async def create_incident(
    body: IncidentRequest, caller: Operator, office: OfficeDep, response: Response
) -> IncidentAnswer:
    """Open an incident."""
    async with office.db.transaction() as session:
        incident, is_new = await store.open_incident(
            session,
            body.server_handle,
            body.incident_type,
            actor_of(caller),
            at=office.clock.now(),
            details=body.details,
            affected_services=body.affected_services,
        )
        answer = IncidentAnswer.model_validate(incident)
    response.status_code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
    return answer


@router.get("/")
async def list_incidents(
    _: Viewer,
    office: OfficeDep,
    window: WindowDep,
    server_handle: SomeText = "",
    status: Annotated[list[IncidentStatus] | None, Query()] = None,
    incident_type: IncidentType | None = None,
) -> Page[IncidentAnswer]:
    """Incidents, newest first."""
    return await incident_page(office, window, server_handle, status or [], incident_type)


@router.get("/active")
async def list_active_incidents(_: Viewer, office: OfficeDep, window: WindowDep) -> Page[IncidentAnswer]:
    """Incidents that are not over, newest first."""
    return await incident_page(office, window, "", sorted(OPEN), None)


@router.get("/{incident_id}")
async def get_incident(incident_id: Id, _: Viewer, office: OfficeDep) -> IncidentAnswer:
    """One incident."""
    async with office.db.transaction() as session:
        return IncidentAnswer.model_validate(await store.get_incident(session, incident_id))


@router.patch("/{incident_id}")
async def change_incident(incident_id: Id, body: IncidentChange, caller: Operator, office: OfficeDep) -> IncidentAnswer:
    """Move an incident on."""
    async with office.db.transaction() as session:
        incident = await store.change_incident(
            session, incident_id, body.status, actor_of(caller), at=office.clock.now(), details=body.details
        )
        return IncidentAnswer.model_validate(incident)


@router.post("/{incident_id}/acknowledge")
async def acknowledge_incident(incident_id: Id, caller: Operator, office: OfficeDep) -> IncidentAnswer:
    """Take note of an open incident."""
    async with office.db.transaction() as session:
        incident = await store.acknowledge(session, incident_id, actor_of(caller), at=office.clock.now())
        return IncidentAnswer.model_validate(incident)


async def incident_page(
    office: OfficeDep,
    window: WindowDep,
    handle: str,
    statuses: list[IncidentStatus],
    incident_type: IncidentType | None,
) -> Page[IncidentAnswer]:
    """One page of incidents that match."""
    async with office.db.transaction() as session:
        rows, total = await store.list_incidents(
            session,
            handle=handle,
            statuses=statuses,
            incident_type=incident_type,
            limit=window.limit,
            offset=window.offset,
        )
    items = [IncidentAnswer.model_validate(row) for row in rows]
    return Page(items=items, total=total, limit=window.limit, offset=window.offset)
