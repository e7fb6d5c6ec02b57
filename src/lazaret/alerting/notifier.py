"""Sends what is owed, and keeps what was sent up to date. One process at a time does this; it changes no machine.

Each pass hands out new messages, and then serves every administrator: what is critical first, then what fits into
their hour, the rest together; last, messages that say what is no longer so are edited. A message is written down as
owed before it is sent and as sent after: a crash between the two sends it once more, and never not at all.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting import deliveries
from lazaret.alerting.escalation import Escalation
from lazaret.alerting.messenger import (
    ChatGone,
    ChatMoved,
    MessageGone,
    MessageRefused,
    Messenger,
    MessengerAway,
    TokenRefused,
    TooFast,
)
from lazaret.alerting.model import Delivery, DeliveryState, Level
from lazaret.alerting.pacing import Due, Peace, Turn, is_silent, is_within, plan_turn
from lazaret.alerting.quiet import QuietHours
from lazaret.alerting.telling import Message, Teller
from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database, is_away
from lazaret.kernel.logging import get_logger
from lazaret.kernel.metrics import MESSAGES
from lazaret.users.model import User
from lazaret.users.store import admins

logger = get_logger(__name__)

HOUR = timedelta(hours=1)
EDIT_REST = timedelta(seconds=2)
"""A message that was just edited is left alone so long: what changes meanwhile is told in one."""
MESSAGE_GAP_S = 1.0
"""Between two messages into one chat: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this"""
GROUP_GAP_S = 3.0
"""The same for a group, which takes 20 a minute."""
LONGEST_PAUSE_S = 3.0
"""After a failure to reach the messenger it is tried again within this time."""
REFUSED_PAUSE_S = 60.0
"""So long nothing is sent after the messenger refused our token."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How people want to be told."""

    per_hour: int = 10
    """Messages per person and hour; what is beyond it comes together, what is critical always passes."""
    quiet: QuietHours | None = None
    escalate_after_s: float = 300.0
    """A critical incident that nobody acknowledged rings the next administrator after this; 0: never."""


@dataclass
class _Lane:
    """One chat: when the next message may go there."""

    free_at: float = 0.0


@dataclass
class Notifier:
    """Tells the administrators."""

    db: Database
    clock: Clock
    messenger: Messenger
    teller: Teller
    manners: Manners = field(default_factory=Manners)
    _lanes: dict[int, _Lane] = field(default_factory=dict)
    _paused_until: float = 0.0
    _failures: int = 0

    async def run_pass(self) -> None:
        """Hand out, remind, send, edit. Raises nothing of the messenger's: what could not be sent stays owed."""
        now = self.clock.now()
        async with self.db.transaction() as session:
            await deliveries.hand_out(session, at=now)
            await Escalation(self.manners.escalate_after_s).remind(session, at=now)
            people = await admins(session)
        if self.clock.monotonic() < self._paused_until:
            return
        # Each ends by itself: a message that just went out must not be forgotten because another one did not.
        ends = await asyncio.gather(*(self._serve(person) for person in people), return_exceptions=True)
        failures = [end for end in ends if isinstance(end, BaseException)]
        self._note(failures)
        for failure in failures:
            if not isinstance(failure, (TokenRefused, MessengerAway)):
                raise failure

    def _note(self, failures: Sequence[BaseException]) -> None:
        """How the messenger did in this pass, and whether it is to be left alone for a while."""
        refused = [one for one in failures if isinstance(one, TokenRefused)]
        away = [one for one in failures if isinstance(one, MessengerAway)]
        if refused:
            logger.error("notifier.token_refused", error=str(refused[0]))
            self._paused_until = self.clock.monotonic() + REFUSED_PAUSE_S
            MESSAGES.labels(end="token_refused").inc()
        elif away:
            self._failures += 1
            MESSAGES.labels(end="away").inc()
            pause_s = min(LONGEST_PAUSE_S, 0.5 * 2 ** min(self._failures, 8))
            self._paused_until = self.clock.monotonic() + pause_s
            if self._failures == 1:  # not one line for each of an hour's tries
                logger.warning("notifier.messenger_away", error=str(away[0]))
        else:
            if self._failures:
                logger.info("notifier.messenger_back", failures=self._failures)
            self._failures = 0

    async def _serve(self, person: User) -> None:
        if self._lane(person).free_at - self.clock.monotonic() > GROUP_GAP_S:
            return  # a long pause was asked for in this chat; the others are not to wait for it
        try:
            turn, owed = await self._plan(person)
            for due in turn.alone:
                await self._send(person, owed[due.id], silent=is_silent(due.level, self._peace(person)))
            async with self.db.transaction() as session:
                digests = await deliveries.owed_digests(session, person.id)
            for one in digests:
                await self._send(person, one, silent=is_silent(Level(one.level), self._peace(person)))
            await self._edit_all(person)
        except ChatGone as error:
            await self._mark_unreachable(person, str(error))
        except ChatMoved as moved:
            async with self.db.transaction() as session:
                (await session.get_one(User, person.id)).chat_id = moved.chat_id
        except TooFast as error:
            self._lane(person).free_at = self.clock.monotonic() + error.retry_after_s
            MESSAGES.labels(end="too_fast").inc()
            logger.warning("notifier.asked_to_pause", user_id=person.id, retry_after_s=error.retry_after_s)

    async def _plan(self, person: User) -> tuple[Turn, dict[int, Delivery]]:
        """Decide, and write down what goes into a digest."""
        now = self.clock.now()
        async with self.db.transaction() as session:
            owed = {one.id: one for one in await deliveries.owed_to(session, person.id)}
            sent = await deliveries.sent_alone_since(session, person.id, now - HOUR)
            due = [Due(one.id, Level(one.level), one.owed_at) for one in owed.values()]
            turn = plan_turn(due, sent_last_hour=sent, limit=self.manners.per_hour, peace=self._peace(person))
            if turn.together:
                into = await deliveries.open_digest(session, person.id, now - HOUR)
                await deliveries.put_together(session, person.id, _ids(turn.together), Level.WARNING, at=now, into=into)
            if turn.together_now:
                await deliveries.put_together(
                    session, person.id, _ids(turn.together_now), Level.CRITICAL, at=now, into=None
                )
        return turn, owed

    async def _send(self, person: User, delivery: Delivery, *, silent: bool) -> None:
        async with self.db.transaction() as session:
            row = await session.get_one(Delivery, delivery.id, with_for_update=True)
            if row.state != DeliveryState.OWED:
                return
            row.attempts += 1
            newest = await deliveries.newest_line(session, row)
            message = await self._message(session, row, person)
        chat_id = person.chat_id or person.telegram_id
        await self._wait_for_room(person)
        try:
            message_id = await self.messenger.send(
                chat_id, message.text.markdown, plain=message.text.plain, keyboard=message.keyboard, is_silent=silent
            )
        except MessageRefused as error:
            MESSAGES.labels(end="refused").inc()
            logger.error("notifier.message_refused", delivery_id=row.id, error=str(error))
            async with self.db.transaction() as session:
                row = await session.get_one(Delivery, delivery.id)
                row.state, row.because = DeliveryState.DROPPED.value, str(error)
            return
        MESSAGES.labels(end="sent").inc()
        async with self.db.transaction() as session:
            row = await session.get_one(Delivery, delivery.id)
            row.state, row.sent_at = DeliveryState.SENT.value, self.clock.now()
            row.chat_id, row.message_id = chat_id, message_id
            _remember(row, message, newest, self.clock.now())

    async def _message(self, session: AsyncSession, row: Delivery, person: User) -> Message:
        """What a delivery says. One that cannot be made goes out raw: it must keep back neither itself nor others."""
        try:
            async with session.begin_nested():
                return await self.teller.message_of(session, row, person, at=self.clock.now())
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("notifier.message_not_made", delivery_id=row.id)
            return await self.teller.raw_message_of(session, row)

    async def _edit_all(self, person: User) -> None:
        now = self.clock.now()
        async with self.db.transaction() as session:
            found = await deliveries.outdated(session, person.id)
            found += await deliveries.outdated_digests(session, person.id)
            work = [
                (row, newest, await self._message(session, row, person))
                for row, newest in found
                if row.edited_at is None or row.edited_at <= now - EDIT_REST
            ]
            for row, newest in await deliveries.open_questions(session, person.id):
                message = await self.teller.message_of(session, row, person, at=now)
                if message.shown != row.shown:
                    work.append((row, newest, message))
        for row, newest, message in work:
            await self._edit(person, row, newest, message)

    async def _edit(self, person: User, row: Delivery, newest: int, message: Message) -> None:
        assert row.chat_id is not None
        assert row.message_id is not None
        gone = ""
        if message.shown != row.shown:
            await self._wait_for_room(person)
            try:
                await self.messenger.edit(
                    row.chat_id,
                    row.message_id,
                    message.text.markdown,
                    plain=message.text.plain,
                    keyboard=message.keyboard,
                )
                MESSAGES.labels(end="edited").inc()
            except (MessageGone, MessageRefused) as error:
                gone = str(error)
        async with self.db.transaction() as session:
            kept = await session.get_one(Delivery, row.id)
            _remember(kept, message, newest, self.clock.now())
            kept.edited_at = self.clock.now()
            if gone:
                kept.closed_at, kept.because = self.clock.now(), gone

    async def _mark_unreachable(self, person: User, because: str) -> None:
        """They hear nothing until they write to the bot again; what they were owed is kept as a trace."""
        logger.warning("notifier.chat_gone", user_id=person.id, because=because)
        async with self.db.transaction() as session:
            (await session.get_one(User, person.id)).unreachable_since = self.clock.now()
            await deliveries.drop_all(session, person.id, because)

    async def _wait_for_room(self, person: User) -> None:
        lane = self._lane(person)
        await self.clock.sleep(lane.free_at - self.clock.monotonic())
        gap_s = GROUP_GAP_S if (person.chat_id or person.telegram_id) < 0 else MESSAGE_GAP_S
        lane.free_at = self.clock.monotonic() + gap_s

    def _lane(self, person: User) -> _Lane:
        return self._lanes.setdefault(person.chat_id or person.telegram_id, _Lane())

    def _peace(self, person: User) -> Peace:
        now = self.clock.now()
        quiet = self.manners.quiet
        return Peace(
            is_quiet=quiet is not None and is_within(now.astimezone(quiet.zone).time(), quiet.start, quiet.end),
            is_muted=person.muted_until is not None and person.muted_until > now,
        )


def _ids(due: Sequence[Due]) -> list[int]:
    return [one.id for one in due]


def _remember(row: Delivery, message: Message, newest: int, at: datetime) -> None:
    row.shown, row.seen_timeline_id = message.shown, newest
    if message.is_final:
        row.closed_at = at
