"""Reads and changes of incidents. Opening one that is open already adds to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.incidents.model import OPEN, Incident, IncidentStatus, IncidentType, TimelineEntry, TimelineKind
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, NotFound
from lazaret.kernel.logging import get_logger
from lazaret.kernel.metrics import INCIDENTS
from lazaret.servers import store as servers

logger = get_logger(__name__)

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
    handle: str | None,
    incident_type: IncidentType,
    actor: audit.Actor,
    *,
    at: datetime,
    began_at: datetime | None = None,
    cause: str = "",
    status: IncidentStatus = IncidentStatus.DETECTED,
    details: dict[str, Any] | None = None,
    affected_services: list[Any] | None = None,
    provider: str = "",
) -> tuple[Incident, bool]:
    """The open incident of this server (None: of the fleet) and type, made if there is none; and whether it is new.

    `provider` tells incidents of the fleet apart that are about the servers of one provider only.

    `began_at` is the first sign of it, left out: now.
    """
    await _lock_subject(session, handle, at=at)
    existing = await open_of(session, handle, incident_type, provider=provider)
    if existing is not None:
        existing.details = {**existing.details, **(details or {})}
        existing.cause = cause or existing.cause
        return existing, False
    incident = Incident(
        server_handle=handle,
        provider=provider,
        incident_type=incident_type.value,
        cause=cause,
        began_at=began_at or at,
        detected_at=at,
        status=status.value,
        details=details or {},
        affected_services=affected_services or [],
        recovery_attempts=0,
    )
    session.add(incident)
    await session.flush()
    INCIDENTS.labels(type=incident_type.value).inc()
    logger.warning("incident.opened", incident=incident.id, handle=handle, type=incident_type.value, cause=cause)
    audit.record(
        session, actor, "incident.open", subject_of(handle), at=at, incident_id=incident.id, type=incident_type.value
    )
    return incident, True


async def open_of(
    session: AsyncSession, handle: str | None, incident_type: IncidentType, *, provider: str = ""
) -> Incident | None:
    """The open incident of this server (None: of the fleet, or of one provider's) and type."""
    found: Incident | None = await session.scalar(
        select(Incident).where(
            Incident.server_handle.is_(None) if handle is None else Incident.server_handle == handle,
            Incident.incident_type == incident_type.value,
            Incident.provider == provider,
            Incident.status.in_([known.value for known in OPEN]),
        )
    )
    return found


def subject_of(handle: str | None) -> str:
    """How the audit log names what an incident is about."""
    return f"server:{handle}" if handle else "fleet"


async def lock_fleet(session: AsyncSession) -> None:
    """One at a time decides about the incidents of the fleet, until the transaction ends."""
    await session.execute(text("select pg_advisory_xact_lock(hashtext('lazaret.fleet_incidents'))"))


async def _lock_subject(session: AsyncSession, handle: str | None, *, at: datetime) -> None:
    if handle is None:
        await lock_fleet(session)
    else:
        (await servers.get_server(session, handle, for_update=True)).last_incident = at


def tell(
    session: AsyncSession,
    incident: Incident,
    kind: TimelineKind,
    message: str,
    *,
    at: datetime,
    **values: Any,
) -> None:
    """One line in the incident's timeline. No value holds a secret.

    `message` is a template in English, filled from `values`; both are kept, so that it can be told in other languages.
    Without values it is taken as it stands.
    """
    data = {"template": message, "values": {name: _plain(value) for name, value in values.items()}} if values else {}
    text = message.format(**values) if values else message
    session.add(TimelineEntry(incident_id=incident.id, at=at, kind=kind.value, message=text.strip(), data=data))


def _plain(value: object) -> object:
    return value if isinstance(value, bool | int | float) or value is None else str(value)


async def newest_of(session: AsyncSession, incident_id: int, *, limit: int) -> list[TimelineEntry]:
    """The last lines of an incident, oldest first."""
    rows = await session.scalars(
        select(TimelineEntry)
        .where(TimelineEntry.incident_id == incident_id)
        .order_by(TimelineEntry.id.desc())
        .limit(limit)
    )
    return list(rows)[::-1]


async def timeline_of(
    session: AsyncSession, incident_id: int, *, limit: int = 500, offset: int = 0
) -> list[TimelineEntry]:
    """The lines of an incident, oldest first."""
    rows = await session.scalars(
        select(TimelineEntry)
        .where(TimelineEntry.incident_id == incident_id)
        .order_by(TimelineEntry.id)
        .limit(limit)
        .offset(offset)
    )
    return list(rows)


async def acknowledge(session: AsyncSession, incident_id: int, actor: audit.Actor, *, at: datetime) -> Incident:
    """Somebody takes note of an open incident. Doing it again changes nothing."""
    incident = await get_incident(session, incident_id, for_update=True)
    if incident.status == IncidentStatus.RESOLVED:
        raise Conflict(f"Incident {incident_id} is over.", hint="Only an open one can be acknowledged.")
    if incident.acknowledged_at is None:
        incident.acknowledged_at, incident.acknowledged_by = at, str(actor)
        audit.record(
            session, actor, "incident.acknowledge", subject_of(incident.server_handle), at=at, incident_id=incident_id
        )
        tell(session, incident, TimelineKind.PERSON, "acknowledged by {actor}", at=at, actor=actor)
    return incident


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
    if status is not before and actor.channel is not audit.Channel.SYSTEM:
        tell(session, incident, TimelineKind.PERSON, "{actor} says: {status}", at=at, actor=actor, status=status.value)
    incident.status = status.value
    incident.details = {**incident.details, **(details or {})}
    incident.resolved_at = (
        at if status is IncidentStatus.RESOLVED and incident.resolved_at is None else incident.resolved_at
    )
    audit.record(
        session,
        actor,
        "incident.change",
        subject_of(incident.server_handle),
        at=at,
        incident_id=incident.id,
        before=before.value,
        after=status.value,
    )
    if status is not before:
        logger.info(f"incident.{status}", incident=incident.id, handle=incident.server_handle, cause=incident.cause)
    return incident


async def get_incident(session: AsyncSession, incident_id: int, *, for_update: bool = False) -> Incident:
    """The incident, or `NotFound`."""
    statement = select(Incident).where(Incident.id == incident_id)
    if for_update:  # what the session knows of it may be older than the lock
        statement = statement.with_for_update().execution_options(populate_existing=True)
    incident = await session.scalar(statement)
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
    for row in rows:
        tell(session, row, TimelineKind.OBSERVATION, "its end was proved by {actor}", at=at, actor=actor.name)
    return [await change_incident(session, row.id, IncidentStatus.RESOLVED, actor, at=at) for row in rows]
