"""Who is owed what: reads and writes of the deliveries. What is written here survives every crash."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.facts import worst
from lazaret.alerting.model import Delivery, DeliveryKind, DeliveryState, Level, OutboxMessage
from lazaret.incidents.model import Incident, TimelineEntry
from lazaret.kernel.logging import get_logger
from lazaret.users.model import User
from lazaret.users.store import admins

logger = get_logger(__name__)

STALE = timedelta(hours=24)
"""What could not be handed out for so long is no news any more; only what is critical still is."""
HANDED_OUT_AT_ONCE = 500


async def hand_out(session: AsyncSession, *, at: datetime) -> int:
    """Turn messages of the outbox into deliveries to each administrator; returns how many messages.

    While there is no administrator they stay owed.
    """
    people = await admins(session)
    if not people:
        return 0
    rows = await session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.sent_at.is_(None))
        .order_by(OutboxMessage.id)
        .limit(HANDED_OUT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    messages = list(rows)
    for message in messages:
        message.sent_at = at
        if message.created_at < at - STALE and message.level != Level.CRITICAL:
            logger.warning("outbox.stale_dropped", message_id=message.id, created_at=message.created_at.isoformat())
            continue
        for person in people:
            await _owe(session, person, message, at=at)
    return len(messages)


async def _owe(session: AsyncSession, person: User, message: OutboxMessage, *, at: datetime) -> None:
    if message.incident_id is None:
        session.add(_delivery(person, DeliveryKind.NOTE, message, None, at))
        return
    incident_id = await _told_as(session, message.incident_id)
    card = await card_of(session, person.id, incident_id)
    if card is None:
        session.add(_delivery(person, DeliveryKind.INCIDENT, message, incident_id, at))
        await session.flush()
        if "approval_id" not in message.data:
            return
    else:
        card.level = worst(Level(card.level), Level(message.level)).value
        if message.level != Level.CRITICAL or (card.state == DeliveryState.OWED and "approval_id" not in message.data):
            return
    session.add(_delivery(person, DeliveryKind.NOTE, message, incident_id, at))


async def _told_as(session: AsyncSession, incident_id: int) -> int:
    """The incident of the fleet that this one is a part of, else itself."""
    parent: int | None = await session.scalar(select(Incident.parent_id).where(Incident.id == incident_id))
    return parent or incident_id


def _delivery(
    person: User, kind: DeliveryKind, message: OutboxMessage, incident_id: int | None, at: datetime, *, number: int = 0
) -> Delivery:
    return Delivery(
        user_id=person.id,
        kind=kind.value,
        incident_id=incident_id,
        outbox_id=message.id,
        round=number,
        level=message.level,
        state=DeliveryState.OWED.value,
        owed_at=at,
        attempts=0,
        seen_timeline_id=0,
        shown="",
        because="",
    )


async def card_of(session: AsyncSession, user_id: int, incident_id: int) -> Delivery | None:
    """The one message of an incident to one person."""
    found: Delivery | None = await session.scalar(
        select(Delivery).where(
            Delivery.user_id == user_id,
            Delivery.incident_id == incident_id,
            Delivery.kind == DeliveryKind.INCIDENT.value,
        )
    )
    return found


async def owed_to(session: AsyncSession, user_id: int, *, limit: int = 1000) -> list[Delivery]:
    """What one person is owed, oldest first; digests left out."""
    rows = await session.scalars(
        select(Delivery)
        .where(
            Delivery.user_id == user_id,
            Delivery.state == DeliveryState.OWED.value,
            Delivery.kind != DeliveryKind.DIGEST.value,
        )
        .order_by(Delivery.id)
        .limit(limit)
    )
    return list(rows)


async def sent_alone_since(session: AsyncSession, user_id: int, since: datetime) -> int:
    """New messages to one person since then, critical ones and digests left out."""
    count = await session.scalar(
        select(func.count())
        .select_from(Delivery)
        .where(
            Delivery.user_id == user_id,
            Delivery.sent_at > since,
            Delivery.level != Level.CRITICAL.value,
            Delivery.kind != DeliveryKind.DIGEST.value,
            Delivery.state == DeliveryState.SENT.value,
        )
    )
    return count or 0


async def open_digest(session: AsyncSession, user_id: int, since: datetime) -> Delivery | None:
    """The digest that may still grow."""
    found: Delivery | None = await session.scalar(
        select(Delivery)
        .where(
            Delivery.user_id == user_id,
            Delivery.kind == DeliveryKind.DIGEST.value,
            Delivery.owed_at > since,
            Delivery.closed_at.is_(None),
        )
        .order_by(Delivery.id.desc())
        .limit(1)
    )
    return found


async def put_together(
    session: AsyncSession, user_id: int, ids: Sequence[int], level: Level, *, at: datetime, into: Delivery | None
) -> Delivery:
    """Tell these in a digest: `into` one that is there, else in a new one, which is owed from now on."""
    if into is None:
        into = Delivery(
            user_id=user_id,
            kind=DeliveryKind.DIGEST.value,
            level=level.value,
            state=DeliveryState.OWED.value,
            owed_at=at,
            round=0,
            attempts=0,
            seen_timeline_id=0,
            shown="",
            because="",
        )
        session.add(into)
        await session.flush()
    into.seen_timeline_id = 0  # it has to be shown anew
    await session.execute(
        update(Delivery)
        .where(Delivery.id.in_(ids))
        .values(state=DeliveryState.DIGESTED.value, digest_id=into.id, sent_at=at)
    )
    return into


async def members_of(session: AsyncSession, digest_id: int) -> list[Delivery]:
    """What a digest tells, oldest first."""
    rows = await session.scalars(select(Delivery).where(Delivery.digest_id == digest_id).order_by(Delivery.id))
    return list(rows)


async def owed_digests(session: AsyncSession, user_id: int) -> list[Delivery]:
    """Digests that have no message yet."""
    rows = await session.scalars(
        select(Delivery)
        .where(
            Delivery.user_id == user_id,
            Delivery.kind == DeliveryKind.DIGEST.value,
            Delivery.state == DeliveryState.OWED.value,
        )
        .order_by(Delivery.id)
    )
    return list(rows)


async def newest_line(session: AsyncSession, delivery: Delivery) -> int:
    """The id of the newest line of the timelines that a message is about; 1 where there is none."""
    ids = [delivery.incident_id]
    if delivery.kind == DeliveryKind.DIGEST:
        ids = [member.incident_id for member in await members_of(session, delivery.id)]
    newest = await session.scalar(
        select(func.max(TimelineEntry.id))
        .join(Incident, Incident.id == TimelineEntry.incident_id)
        .where(or_(Incident.id.in_(ids), Incident.parent_id.in_(ids)))
    )
    return newest or 1


async def outdated(session: AsyncSession, user_id: int) -> list[tuple[Delivery, int]]:
    """Messages whose incident has a newer line than they know, and the newest line's id."""
    about = or_(Incident.id == Delivery.incident_id, Incident.parent_id == Delivery.incident_id)
    newest = (
        select(func.max(TimelineEntry.id))
        .join(Incident, Incident.id == TimelineEntry.incident_id)
        .where(about)
        .correlate(Delivery)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(Delivery, newest)
        .where(
            Delivery.user_id == user_id,
            Delivery.state == DeliveryState.SENT.value,
            Delivery.closed_at.is_(None),
            Delivery.message_id.is_not(None),
            Delivery.incident_id.is_not(None),
            newest > Delivery.seen_timeline_id,
        )
        .order_by(Delivery.id)
        .limit(50)
    )
    return [(delivery, number) for delivery, number in rows]


async def open_questions(session: AsyncSession, user_id: int) -> list[tuple[Delivery, int]]:
    """Notes that are not final and belong to no incident: their answer adds no line to any timeline."""
    rows = await session.scalars(
        select(Delivery)
        .where(
            Delivery.user_id == user_id,
            Delivery.kind == DeliveryKind.NOTE.value,
            Delivery.state == DeliveryState.SENT.value,
            Delivery.closed_at.is_(None),
            Delivery.message_id.is_not(None),
            Delivery.incident_id.is_(None),
        )
        .order_by(Delivery.id)
        .limit(50)
    )
    return [(row, row.seen_timeline_id) for row in rows]


async def outdated_digests(session: AsyncSession, user_id: int) -> list[tuple[Delivery, int]]:
    """The same for digests: the newest line of anything that they tell."""
    member = Delivery.__table__.alias("member")
    newest = (
        select(func.coalesce(func.max(TimelineEntry.id), 1))
        .join(member, member.c.incident_id == TimelineEntry.incident_id)
        .where(member.c.digest_id == Delivery.id)
        .correlate(Delivery)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(Delivery, newest).where(
            Delivery.user_id == user_id,
            Delivery.kind == DeliveryKind.DIGEST.value,
            Delivery.state == DeliveryState.SENT.value,
            Delivery.closed_at.is_(None),
            Delivery.message_id.is_not(None),
            newest > Delivery.seen_timeline_id,
        )
    )
    return [(delivery, number) for delivery, number in rows]


async def drop_all(session: AsyncSession, user_id: int, because: str) -> None:
    """What one person is owed is not told; the trace stays."""
    await session.execute(
        update(Delivery)
        .where(Delivery.user_id == user_id, Delivery.state == DeliveryState.OWED.value)
        .values(state=DeliveryState.DROPPED.value, because=because)
    )
