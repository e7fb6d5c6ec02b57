"""Nobody answers: the next administrator is rung, and whoever snoozed is rung again when their time is over."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Delivery, DeliveryKind, DeliveryState, Level
from lazaret.incidents.model import Incident, IncidentStatus
from lazaret.users.model import User
from lazaret.users.store import admins

MOST_ROUNDS = 12
"""After so many reminders of one incident everybody was asked often enough."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Makes reminders owed."""

    after_s: float

    async def remind(self, session: AsyncSession, *, at: datetime) -> int:
        """Returns how many reminders were made."""
        people = await admins(session)
        made = await self._after_snoozes(session, at)
        if self.after_s <= 0 or not people:
            return made
        for incident_id, outbox_id, last in await self._unanswered(session):
            if last > at - timedelta(seconds=self.after_s):
                continue
            made += await self._ring_next(session, incident_id, outbox_id, people, at)
        return made

    async def _unanswered(self, session: AsyncSession) -> list[tuple[int, int, datetime]]:
        """Critical incidents without an answer that were told: id, the message of it, when it last rang."""
        rows = await session.execute(
            select(Delivery.incident_id, func.max(Delivery.outbox_id), func.max(Delivery.sent_at))
            .join(Incident, Incident.id == Delivery.incident_id)
            .where(
                Delivery.level == Level.CRITICAL.value,
                Delivery.sent_at.is_not(None),
                Incident.status != IncidentStatus.RESOLVED.value,
                Incident.acknowledged_at.is_(None),
            )
            .group_by(Delivery.incident_id)
        )
        return [
            (incident_id, outbox_id, last)
            for incident_id, outbox_id, last in rows
            if incident_id is not None and outbox_id is not None and last is not None
        ]

    async def _ring_next(
        self, session: AsyncSession, incident_id: int, outbox_id: int, people: list[User], at: datetime
    ) -> int:
        rows = await session.execute(
            select(Delivery.round, Delivery.state).where(
                Delivery.incident_id == incident_id, Delivery.kind == DeliveryKind.REMINDER.value
            )
        )
        earlier = [(number, state) for number, state in rows]
        if len(earlier) >= MOST_ROUNDS or any(state == DeliveryState.OWED for _, state in earlier):
            return 0
        snoozing = set(
            await session.scalars(
                select(Delivery.user_id).where(Delivery.incident_id == incident_id, Delivery.snoozed_until > at)
            )
        )
        number = max((number for number, _ in earlier), default=0) + 1
        order = [people[(number + step) % len(people)] for step in range(len(people))]
        for person in order:
            if person.id not in snoozing:
                session.add(_reminder(person.id, incident_id, outbox_id, number, at))
                return 1
        return 0

    async def _after_snoozes(self, session: AsyncSession, at: datetime) -> int:
        rows = await session.scalars(
            select(Delivery).where(Delivery.snoozed_until <= at).with_for_update(skip_locked=True)
        )
        made = 0
        for card in rows:
            card.snoozed_until = None
            status = await session.scalar(select(Incident.status).where(Incident.id == card.incident_id))
            if status == IncidentStatus.RESOLVED or card.incident_id is None or card.outbox_id is None:
                continue
            number = await session.scalar(
                select(func.max(Delivery.round)).where(
                    Delivery.incident_id == card.incident_id, Delivery.kind == DeliveryKind.REMINDER.value
                )
            )
            session.add(_reminder(card.user_id, card.incident_id, card.outbox_id, (number or 0) + 1, at))
            await session.flush()
            made += 1
        return made


def _reminder(user_id: int, incident_id: int, outbox_id: int, number: int, at: datetime) -> Delivery:
    return Delivery(
        user_id=user_id,
        kind=DeliveryKind.REMINDER.value,
        incident_id=incident_id,
        outbox_id=outbox_id,
        round=number,
        level=Level.CRITICAL.value,
        state=DeliveryState.OWED.value,
        owed_at=at,
        attempts=0,
        shown="",
        seen_timeline_id=0,
        because="",
    )
