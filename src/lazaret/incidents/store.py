"""Reads and changes of incidents. Opening one that is open already adds to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.incidents.model import OPEN, Incident, IncidentStatus, IncidentType
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, NotFound
from lazaret.servers import store as servers

_NEXT: dict[IncidentStatus, frozenset[IncidentStatus]] = {
    IncidentStatus.DETECTED: frozenset({IncidentStatus.RECOVERING, IncidentStatus.RESOLVED, IncidentStatus.FAILED}),
    IncidentStatus.RECOVERING: frozenset({IncidentStatus.RESOLVED, IncidentStatus.FAILED, IncidentStatus.DETECTED}),
    IncidentStatus.FAILED: frozenset({IncidentStatus.RECOVERING, IncidentStatus.RESOLVED}),
    IncidentStatus.RESOLVED: frozenset(),
}


class IllegalIncidentChange(Conflict):
    """An incident cannot go from its status to that one."""

    code = "illegal_incident_change"


async def open_incident(
    session: AsyncSession,
    handle: str,
    incident_type: IncidentType,
    actor: audit.Actor,
    *,
    at: datetime,
    status: IncidentStatus = IncidentStatus.DETECTED,
    details: dict[str, Any] | None = None,
    affected_services: list[Any] | None = None,
) -> tuple[Incident, bool]:
    """The open incident of this server and type, made if there is none; and whether it is new."""
    server = await servers.get_server(session, handle, for_update=True)
    existing = await session.scalar(
        select(Incident).where(
            Incident.server_handle == handle,
            Incident.incident_type == incident_type.value,
            Incident.status.in_([known.value for known in OPEN]),
        )
    )
    if existing is not None:
        existing.details = {**existing.details, **(details or {})}
        return existing, False
    incident = Incident(
        server_handle=handle,
        incident_type=incident_type.value,
        detected_at=at,
        status=status.value,
        details=details or {},
        affected_services=affected_services or [],
    )
    session.add(incident)
    await session.flush()
    server.last_incident = at
    audit.record(
        session, actor, "incident.open", f"server:{handle}", at=at, incident_id=incident.id, type=incident_type.value
    )
    return incident, True


async def change_incident(
    session: AsyncSession,
    incident_id: int,
    status: IncidentStatus,
    actor: audit.Actor,
    *,
    at: datetime,
    details: dict[str, Any] | None = None,
) -> Incident:
    """Move an incident on. The status that it has already is accepted. Raises `IllegalIncidentChange`."""
    incident = await get_incident(session, incident_id, for_update=True)
    before = IncidentStatus(incident.status)
    if status is not before and status not in _NEXT[before]:
        legal = ", ".join(sorted(_NEXT[before])) or "none: it is over"
        raise IllegalIncidentChange(f"Incident {incident_id} is {before}, not {status}.", hint=f"Legal now: {legal}.")
    incident.status = status.value
    incident.details = {**incident.details, **(details or {})}
    incident.resolved_at = (
        at if status is IncidentStatus.RESOLVED and incident.resolved_at is None else incident.resolved_at
    )
    audit.record(
        session,
        actor,
        "incident.change",
        f"server:{incident.server_handle}",
        at=at,
        incident_id=incident.id,
        before=before.value,
        after=status.value,
    )
    return incident


async def get_incident(session: AsyncSession, incident_id: int, *, for_update: bool = False) -> Incident:
    """The incident, or `NotFound`."""
    statement = select(Incident).where(Incident.id == incident_id)
    incident = await session.scalar(statement.with_for_update() if for_update else statement)
    if incident is None:
        raise NotFound(f"There is no incident {incident_id}.", hint="`lazaret incidents` lists them.")
    return incident


async def list_incidents(
    session: AsyncSession,
    *,
    handle: str = "",
    statuses: Sequence[IncidentStatus] = (),
    incident_type: IncidentType | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Incident], int]:
    """One page, newest first, and the number of all that match."""
    conditions: list[ColumnElement[bool]] = []
    if handle:
        conditions.append(Incident.server_handle == handle)
    if statuses:
        conditions.append(Incident.status.in_([status.value for status in statuses]))
    if incident_type is not None:
        conditions.append(Incident.incident_type == incident_type.value)
    total = await session.scalar(select(func.count()).select_from(Incident).where(*conditions))
    rows = await session.scalars(
        select(Incident).where(*conditions).order_by(Incident.id.desc()).limit(limit).offset(offset)
    )
    return list(rows), total or 0


async def resolve_open(
    session: AsyncSession, handle: str, incident_type: IncidentType, actor: audit.Actor, *, at: datetime
) -> list[Incident]:
    """Resolve what is open of this type on this server, because its end was just proved."""
    rows, _ = await list_incidents(session, handle=handle, statuses=sorted(OPEN), incident_type=incident_type)
    return [await change_incident(session, row.id, IncidentStatus.RESOLVED, actor, at=at) for row in rows]
