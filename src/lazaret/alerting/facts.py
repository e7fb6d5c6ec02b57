"""Reads what messages are made of: incidents as they stand now."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.cards import LINES_SHOWN, IncidentFacts, Line
from lazaret.alerting.model import Level, OutboxMessage
from lazaret.incidents.model import Incident, IncidentStatus, TimelineEntry
from lazaret.servers.model import Server


async def facts_of(session: AsyncSession, incident_ids: Collection[int]) -> dict[int, IncidentFacts]:
    """What a card shows, by incident; three reads however many they are."""
    if not incident_ids:
        return {}
    rows = await session.execute(
        select(Incident, Server.public_ip)
        .outerjoin(Server, Server.handle == Incident.server_handle)
        .where(Incident.id.in_(incident_ids))
    )
    newest = await _newest_lines(session, incident_ids)
    members = await _members(session, incident_ids)
    levels = await _levels(session, incident_ids)
    return {
        incident.id: IncidentFacts(
            id=incident.id,
            handle=incident.server_handle,
            address=address or "",
            incident_type=incident.incident_type,
            cause=incident.cause,
            status=IncidentStatus(incident.status),
            level=levels.get(incident.id, Level.ERROR),
            began_at=incident.began_at,
            detected_at=incident.detected_at,
            resolved_at=incident.resolved_at,
            services=[str(name) for name in incident.affected_services],
            acknowledged_by=incident.acknowledged_by or "",
            parent_id=incident.parent_id,
            members=members[incident.id],
            newest=newest[incident.id],
        )
        for incident, address in rows
    }


async def _newest_lines(session: AsyncSession, incident_ids: Collection[int]) -> dict[int, list[Line]]:
    ranked = (
        select(
            TimelineEntry.id,
            func.row_number()
            .over(partition_by=TimelineEntry.incident_id, order_by=TimelineEntry.id.desc())
            .label("rank"),
        )
        .where(TimelineEntry.incident_id.in_(incident_ids))
        .subquery()
    )
    rows = await session.scalars(
        select(TimelineEntry)
        .join(ranked, ranked.c.id == TimelineEntry.id)
        .where(ranked.c.rank <= LINES_SHOWN)
        .order_by(TimelineEntry.id)
    )
    found: dict[int, list[Line]] = defaultdict(list)
    for row in rows:
        found[row.incident_id].append(
            Line(row.at, row.message, row.data.get("template", ""), row.data.get("values", {}))
        )
    return found


async def _members(session: AsyncSession, incident_ids: Collection[int]) -> dict[int, list[str]]:
    rows = await session.execute(
        select(Incident.parent_id, Incident.server_handle)
        .where(Incident.parent_id.in_(incident_ids), Incident.server_handle.is_not(None))
        .order_by(Incident.id)
    )
    found: dict[int, list[str]] = defaultdict(list)
    for parent_id, handle in rows:
        if parent_id is not None and handle is not None and handle not in found[parent_id]:
            found[parent_id].append(handle)
    return found


async def _levels(session: AsyncSession, incident_ids: Collection[int]) -> dict[int, Level]:
    rows = await session.execute(
        select(OutboxMessage.incident_id, OutboxMessage.level).where(OutboxMessage.incident_id.in_(incident_ids))
    )
    found: dict[int, Level] = {}
    for incident_id, level in rows:
        if incident_id is None:
            continue
        found[incident_id] = worst(found.get(incident_id, Level.INFO), Level(level))
    return found


def worst(one: Level, other: Level) -> Level:
    """The level that matters more."""
    return max(one, other, key=list(Level).index)
