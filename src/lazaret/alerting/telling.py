"""Makes one message for one person from what the tables say now."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from gettext import NullTranslations

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting import cards
from lazaret.alerting.callbacks import Signer
from lazaret.alerting.deliveries import members_of
from lazaret.alerting.facts import facts_of
from lazaret.alerting.keyboards import Buttons
from lazaret.alerting.markdown import Rich, lines, text
from lazaret.alerting.messenger import Keyboard
from lazaret.alerting.model import Delivery, DeliveryKind, Level, OutboxMessage
from lazaret.alerting.words import fill
from lazaret.incidents.model import IncidentStatus
from lazaret.kernel.i18n import language_for, translator
from lazaret.users.model import User


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a person is asked to approve."""

    is_open: bool
    answer: str = ""
    """A template of what became of it, with `values`; empty while it is open."""
    values: Mapping[str, object] | None = None


Questions = Callable[[AsyncSession, Collection[int]], Awaitable[Mapping[int, Question]]]
"""Questions by the id of their approval; those who ask are above this room."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to be sent."""

    text: Rich
    keyboard: Keyboard
    is_final: bool
    """Nothing about it will change any more."""

    @property
    def shown(self) -> str:
        """Tells two messages apart by what they show; the signatures under buttons do not count."""
        labels = [[button.label for button in row] for row in self.keyboard]
        return hashlib.sha256(f"{self.text.markdown}|{labels}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Teller:
    """Renders deliveries."""

    signer: Signer
    questions: Questions
    dashboard: str = ""

    async def message_of(self, session: AsyncSession, delivery: Delivery, person: User, *, at: datetime) -> Message:
        """What this delivery says now."""
        language = translator(language_of(person))
        buttons = Buttons(self.signer, person.telegram_id, language, at, self.dashboard)
        match DeliveryKind(delivery.kind):
            case DeliveryKind.DIGEST:
                return await self._digest(session, delivery, language)
            case DeliveryKind.INCIDENT:
                return await self._card(session, delivery, language, buttons)
            case DeliveryKind.REMINDER:
                return await self._reminder(session, delivery, language, buttons, at)
            case DeliveryKind.NOTE:
                return await self._note(session, delivery, language, buttons)

    async def raw_message_of(self, session: AsyncSession, delivery: Delivery) -> Message:
        """What made it owed, as it was written down: for a message that cannot be made as it should be."""
        row = await session.get(OutboxMessage, delivery.outbox_id) if delivery.outbox_id is not None else None
        raw = f"{row.text} {dict(row.data)}" if row is not None else f"incident {delivery.incident_id or ''}"
        return Message(cards.note(Level(delivery.level), "{raw}", {"raw": raw}, NullTranslations()), (), is_final=True)

    async def _card(
        self, session: AsyncSession, delivery: Delivery, language: NullTranslations, buttons: Buttons
    ) -> Message:
        assert delivery.incident_id is not None
        facts = (await facts_of(session, [delivery.incident_id]))[delivery.incident_id]
        is_over = facts.status is IncidentStatus.RESOLVED
        keyboard = (
            () if is_over else buttons.of_incident(facts.id, facts.handle, is_acknowledged=bool(facts.acknowledged_by))
        )
        return Message(cards.incident_card(facts, language), keyboard, is_over)

    async def _reminder(
        self, session: AsyncSession, delivery: Delivery, language: NullTranslations, buttons: Buttons, at: datetime
    ) -> Message:
        assert delivery.incident_id is not None
        facts = (await facts_of(session, [delivery.incident_id]))[delivery.incident_id]
        if facts.status is IncidentStatus.RESOLVED or facts.acknowledged_by:
            return Message(cards.incident_card(facts, language), (), is_final=True)
        since_s = (at - facts.detected_at).total_seconds()
        return Message(
            cards.reminder(facts, since_s, language),
            buttons.of_incident(facts.id, facts.handle, is_acknowledged=False),
            is_final=False,
        )

    async def _note(
        self, session: AsyncSession, delivery: Delivery, language: NullTranslations, buttons: Buttons
    ) -> Message:
        row = await session.get_one(OutboxMessage, delivery.outbox_id)
        said = cards.note(Level(row.level), row.text, row.data, language)
        approval_id = row.data.get("approval_id")
        if not isinstance(approval_id, int):
            return Message(said, buttons.of_note(row.server_handle), is_final=True)
        question = (await self.questions(session, [approval_id])).get(approval_id, Question(is_open=False))
        if question.is_open:
            return Message(said, buttons.of_question(approval_id, row.server_handle), is_final=False)
        answer = text(f"→ {fill(question.answer, question.values or {}, language)}" if question.answer else "→")
        return Message(lines([said, answer]), (), is_final=True)

    async def _digest(self, session: AsyncSession, delivery: Delivery, language: NullTranslations) -> Message:
        members = await members_of(session, delivery.id)
        facts = await facts_of(session, {one.incident_id for one in members if one.incident_id is not None})
        texts = await _outbox(session, [one.outbox_id for one in members if one.outbox_id is not None])
        told = []
        for one in members:
            if one.kind == DeliveryKind.INCIDENT and one.incident_id is not None:
                told.append(cards.Told(Level(one.level), facts[one.incident_id]))
            elif one.outbox_id is not None:
                row = texts[one.outbox_id]
                told.append(cards.Told(Level(one.level), None, row.text, row.data))
        return Message(cards.digest(told, language), (), is_final=False)  # more may be added to it


async def _outbox(session: AsyncSession, ids: Sequence[int]) -> dict[int, OutboxMessage]:
    rows = await session.scalars(select(OutboxMessage).where(OutboxMessage.id.in_(ids)))
    return {row.id: row for row in rows}


def language_of(person: User) -> str:
    """What they chose, else what their Telegram speaks."""
    return language_for(person.language, person.language_code)
