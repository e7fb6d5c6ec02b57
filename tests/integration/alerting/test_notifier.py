"""People are told: once, in few words, and never not at all. Real tables, a clock of our own, a messenger in memory."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from lazaret.alerting.callbacks import Act, Signer
from lazaret.alerting.messenger import MessengerAway
from lazaret.alerting.model import Delivery, Level, OutboxMessage
from lazaret.alerting.notifier import Manners, Notifier
from lazaret.alerting.outbox import notify_admins
from lazaret.alerting.quiet import quiet_hours
from lazaret.alerting.telling import Question, Teller
from lazaret.incidents.model import Incident, IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.store import acknowledge, change_incident, open_incident, tell
from lazaret.kernel import audit
from lazaret.kernel.clock import ManualClock
from lazaret.kernel.database import Database
from lazaret.users.model import User
from lazaret.users.store import name_first_admins, upsert_user
from tests.fakes.messenger import FakeMessenger, SentMessage
from tests.integration.rows import add_server

ANN, BOB, STRANGER = 501, 502, 999
PERSON = audit.Actor("ann", audit.Channel.TELEGRAM)
KEY = SecretStr("k" * 44)


@dataclass
class Post:
    """The notifier between a database and a messenger."""

    db: Database
    clock: ManualClock = field(default_factory=lambda: ManualClock(datetime(2026, 3, 4, 12, tzinfo=UTC)))
    messenger: FakeMessenger = field(default_factory=FakeMessenger)
    manners: Manners = field(default_factory=Manners)
    answers: dict[int, Question] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """A process that died, and a new one."""

        async def questions(_: object, ids: object) -> Mapping[int, Question]:
            return self.answers

        self.notifier = Notifier(self.db, self.clock, self.messenger, Teller(Signer(KEY), questions), self.manners)

    async def passes(self, count: int = 3, *, gap_s: float = 3.0) -> None:
        for _ in range(count):
            await self.notifier.run_pass()
            self.clock.advance(gap_s)

    async def people(self, *telegram_ids: int) -> None:
        async with self.db.transaction() as session:
            await name_first_admins(session, telegram_ids, at=self.clock.now())

    async def incident(self, handle: str, *, level: Level = Level.ERROR, cause: str = "silent") -> int:
        async with self.db.transaction() as session:
            await add_server(session, handle, at=self.clock.now())
            return await self._open(session, handle, level, cause)

    async def _open(self, session, handle, level, cause) -> int:  # type: ignore[no-untyped-def]
        incident, _ = await open_incident(
            session,
            handle,
            IncidentType.SERVER_UNREACHABLE,
            audit.MONITOR,
            at=self.clock.now(),
            cause=cause,
            began_at=self.clock.now() - timedelta(seconds=13),
        )
        tell(session, incident, TimelineKind.OBSERVATION, "seen", at=self.clock.now())
        notify_admins(
            session,
            "{handle} is lost",
            level,
            at=self.clock.now(),
            server_handle=handle,
            incident_id=incident.id,
            handle=handle,
        )
        return incident.id

    async def note(self, text: str, level: Level = Level.INFO, **data: object) -> None:
        async with self.db.transaction() as session:
            notify_admins(session, text, level, at=self.clock.now(), **data)

    async def resolve(self, incident_id: int) -> None:
        async with self.db.transaction() as session:
            row = await session.get_one(Incident, incident_id)
            tell(session, row, TimelineKind.OBSERVATION, "{remedy} helped", at=self.clock.now(), remedy="reboot")
            await change_incident(session, incident_id, IncidentStatus.RESOLVED, audit.WORKER, at=self.clock.now())
            notify_admins(session, "it is over", at=self.clock.now(), incident_id=incident_id)

    def to(self, telegram_id: int) -> list[SentMessage]:
        return [message for message in self.messenger.messages if message.chat_id == telegram_id]

    async def rows(self, model: type) -> list:  # type: ignore[type-arg]
        async with self.db.transaction() as session:
            return list(await session.scalars(select(model).order_by(model.id)))


@pytest.fixture
async def post(db: Database) -> Post:
    made = Post(db)
    await made.people(ANN)
    return made


async def test_only_administrators_are_told(post: Post) -> None:
    async with post.db.transaction() as session:
        await upsert_user(
            session, telegram_id=STRANGER, username="eve", first_name="Eve", last_name=None, at=post.clock.now()
        )
    await post.people(BOB)
    await post.note("Server {handle} is ready.", handle="vps-1")
    await post.passes()
    assert sorted(message.chat_id for message in post.messenger.messages) == [ANN, BOB]
    assert post.to(ANN)[0].text == "\N{INFORMATION SOURCE}\N{VARIATION SELECTOR-16} Server vps-1 is ready."
    assert post.to(ANN)[0].is_silent


async def test_what_nobody_can_be_told_stays_owed_until_somebody_is_there(db: Database) -> None:
    post = Post(db)
    await post.note("early")
    await post.passes()
    assert post.messenger.messages == []
    await post.people(ANN)
    await post.passes()
    assert [message.text for message in post.to(ANN)] == ["\N{INFORMATION SOURCE}\N{VARIATION SELECTOR-16} early"]


async def test_an_incident_is_one_message_that_evolves_and_closes(post: Post) -> None:
    incident_id = await post.incident("vps-1")
    await post.passes()
    (card,) = post.to(ANN)
    assert "vps-1" in card.text
    assert "does not answer at all" in card.text
    assert card.labels() == ["Acknowledge", "Snooze 1 h", "Snooze 4 h", "Why?"]
    assert not card.is_silent
    async with post.db.transaction() as session:
        row = await session.get_one(Incident, incident_id)
        tell(
            session,
            row,
            TimelineKind.ATTEMPT,
            "begins: {remedy}. {because}",
            at=post.clock.now(),
            remedy="reboot",
            because="so",
        )
    await post.passes()
    assert "begins: reboot. so" in card.text
    post.clock.advance(60)
    await post.resolve(incident_id)
    await post.passes(6)
    assert post.to(ANN) == [card], "one message, edited in place"
    assert card.text.startswith("✅")
    assert "Detected in 13 s, recovered in 1 min 18 s" in card.text
    assert card.labels() == []
    edits = len(card.edits)
    await post.passes(4)
    assert len(card.edits) == edits, "what is over is left alone"


async def test_a_message_that_did_not_change_is_not_edited(post: Post) -> None:
    incident_id = await post.incident("vps-1")
    await post.passes()
    async with post.db.transaction() as session:
        row = await session.get_one(Incident, incident_id)
        for _ in range(5):
            tell(session, row, TimelineKind.OBSERVATION, "seen", at=post.clock.now())
    await post.passes(4)
    assert len(post.to(ANN)[0].edits) <= 1


async def test_it_is_told_in_the_language_of_each(post: Post) -> None:
    await post.people(BOB)
    async with post.db.transaction() as session:
        bob = await session.scalar(select(User).where(User.telegram_id == BOB))
        assert bob is not None
        bob.language_code = "ru"
    await post.incident("vps-1")
    await post.passes()
    assert "does not answer at all" in post.to(ANN)[0].text
    assert "не отвечает" in post.to(BOB)[0].text


async def test_acknowledging_is_seen_by_everybody(post: Post) -> None:
    await post.people(BOB)
    incident_id = await post.incident("vps-1")
    await post.passes()
    async with post.db.transaction() as session:
        await acknowledge(session, incident_id, PERSON, at=post.clock.now())
    await post.passes()
    for person in (ANN, BOB):
        assert "Acknowledged by telegram:ann" in post.to(person)[0].text
        assert "Acknowledge" not in post.to(person)[0].labels()


async def test_a_question_rings_has_buttons_and_shows_its_answer(post: Post) -> None:
    incident_id = await post.incident("vps-1")
    await post.passes()
    post.answers[7] = Question(is_open=True)
    async with post.db.transaction() as session:
        notify_admins(
            session,
            "{why}",
            Level.CRITICAL,
            at=post.clock.now(),
            server_handle="vps-1",
            incident_id=incident_id,
            approval_id=7,
            why="Reinstall? All data goes.",
        )
    await post.passes()
    _, question = post.to(ANN)
    assert question.text == "🚨 Reinstall? All data goes."
    assert [label for label in question.labels()] == ["✅ Approve", "⛔ Deny", "Why?"]
    assert not question.is_silent
    press = Signer(KEY).read(question.keyboard[0][0].data, user=ANN, at=post.clock.now())
    assert (press.act, press.subject) == (Act.APPROVE, "7")
    post.answers[7] = Question(
        is_open=False, answer="{remedy} denied by {actor}", values={"remedy": "reinstall", "actor": "bob"}
    )
    async with post.db.transaction() as session:
        tell(session, await session.get_one(Incident, incident_id), TimelineKind.PERSON, "no", at=post.clock.now())
    await post.passes()
    assert question.text.endswith("→ reinstall the system denied by bob")
    assert question.labels() == []


async def test_beyond_the_limit_a_digest_grows_in_place_and_critical_messages_pass(post: Post) -> None:
    for number in range(1, 31):
        await post.note("note {n}", Level.WARNING, n=number)
        await post.passes(1, gap_s=1)
    alone = [message for message in post.to(ANN) if "in one" not in message.text]
    digests = [message for message in post.to(ANN) if "in one" in message.text]
    assert len(alone) == 10
    assert len(digests) == 1
    await post.passes()
    assert "20 messages in one" in digests[0].text
    await post.note("fire", Level.CRITICAL)
    await post.passes()
    assert post.to(ANN)[-1].text == "🚨 fire"
    assert len(await post.rows(Delivery)) == 32, "nothing is dropped"


async def test_an_hour_without_telegram_in_a_storm_of_300_incidents(post: Post) -> None:
    post.messenger.is_away = True
    incidents = []
    for number in range(300):
        incidents.append(await post.incident(f"vps-{number}"))
        if number % 50 == 0:
            await post.passes(2)
    for incident_id in incidents[:100]:
        await post.resolve(incident_id)
    for _ in range(120):
        await post.passes(1, gap_s=30)
    assert post.messenger.messages == []
    back_at = post.clock.monotonic()
    post.messenger.is_away = False
    while not post.messenger.messages:
        await post.passes(1, gap_s=1)
        assert post.clock.monotonic() - back_at <= 5, "the first message comes within 5 s"
    while post.clock.monotonic() - back_at < 600:
        await post.passes(1, gap_s=5)
    assert len(post.to(ANN)) <= 12
    told = "\n".join(message.text for message in post.to(ANN))
    missing = [number for number in range(300) if f"vps-{number}" not in told]
    assert not missing, "none is lost"
    assert all(delivery.state in ("sent", "digested") for delivery in await post.rows(Delivery))


async def test_children_of_a_common_cause_are_told_as_one(post: Post) -> None:
    async with post.db.transaction() as session:
        fleet, _ = await open_incident(
            session, None, IncidentType.MANY_SERVERS_LOST, audit.WORKER, at=post.clock.now(), cause="storm"
        )
        tell(session, fleet, TimelineKind.DECISION, "8 of 8", at=post.clock.now())
        notify_admins(session, "a storm", Level.CRITICAL, at=post.clock.now(), incident_id=fleet.id)
    for number in range(8):
        incident_id = await post.incident(f"vps-{number}")
        async with post.db.transaction() as session:
            (await session.get_one(Incident, incident_id)).parent_id = fleet.id
    await post.passes(4)
    (card,) = post.to(ANN)
    assert all(f"vps-{number}" in card.text for number in range(8))


async def test_a_crash_between_sending_and_writing_down_loses_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.note("important", Level.ERROR)
    send = post.messenger.send

    async def send_and_die(*arguments: object, **named: object) -> int:
        await send(*arguments, **named)  # type: ignore[arg-type]
        raise RuntimeError("the process dies here")

    monkeypatch.setattr(post.messenger, "send", send_and_die)
    with pytest.raises(RuntimeError, match="the process dies here"):
        await post.notifier.run_pass()
    monkeypatch.undo()
    post.restart()
    await post.passes()
    assert [message.text for message in post.to(ANN)] == ["❌ important"] * 2, "at least once"
    await post.passes()
    assert len(post.to(ANN)) == 2


async def test_flood_control_is_obeyed(post: Post) -> None:
    post.messenger.asks_to_wait_s = 30
    await post.note("one", Level.ERROR)
    await post.notifier.run_pass()
    assert post.messenger.messages == []
    await post.people(BOB)
    await post.note("two", Level.ERROR)
    await post.notifier.run_pass()
    assert [message.text for message in post.to(BOB)] == ["❌ two"], "nobody waits for another's pause"
    assert post.to(ANN) == []
    post.clock.advance(30)
    await post.passes()
    assert [message.text for message in post.to(ANN)] == ["❌ one", "❌ two"]


async def test_who_blocked_the_bot_is_left_alone_and_the_others_are_told(post: Post) -> None:
    await post.people(BOB)
    post.messenger.gone.add(ANN)
    await post.note("one", Level.ERROR)
    await post.passes()
    await post.note("two", Level.ERROR)
    await post.passes()
    assert [message.text for message in post.to(BOB)] == ["❌ one", "❌ two"]
    dropped = [row for row in await post.rows(Delivery) if row.state == "dropped"]
    assert [row.because for row in dropped] == ["The bot was blocked by the user."]
    users = {user.telegram_id: user for user in await post.rows(User)}
    assert users[ANN].unreachable_since is not None


async def test_a_chat_that_moved_is_followed(post: Post) -> None:
    post.messenger.moved[ANN] = -100777
    await post.note("one", Level.ERROR)
    await post.passes()
    assert [message.text for message in post.to(-100777)] == ["❌ one"]


async def test_a_message_that_the_person_deleted_is_not_sent_again(post: Post) -> None:
    incident_id = await post.incident("vps-1")
    await post.passes()
    post.messenger.deleted.add(post.to(ANN)[0].id)
    await post.resolve(incident_id)
    await post.passes(5)
    assert len(post.to(ANN)) == 1


async def test_quiet_hours_let_through_what_matters(post: Post) -> None:
    post.manners = replace(post.manners, quiet=quiet_hours("22:00-08:00", "Europe/Vilnius"))
    post.restart()
    post.clock.advance(11 * 3600)  # 01:00 in Vilnius
    await post.note("small", Level.INFO)
    await post.note("broken", Level.ERROR)
    await post.note("fire", Level.CRITICAL)
    await post.passes()
    assert [(message.text, message.is_silent) for message in post.to(ANN)] == [("🚨 fire", False), ("❌ broken", True)]
    post.clock.advance(8 * 3600)
    await post.passes()
    assert post.to(ANN)[-1].text == "\N{INFORMATION SOURCE}\N{VARIATION SELECTOR-16} small"


async def test_who_muted_hears_only_what_is_critical(post: Post) -> None:
    async with post.db.transaction() as session:
        ann = await session.scalar(select(User).where(User.telegram_id == ANN))
        assert ann is not None
        ann.muted_until = post.clock.now() + timedelta(hours=1)
    await post.note("broken", Level.ERROR)
    await post.note("fire", Level.CRITICAL)
    await post.passes()
    assert [message.text for message in post.to(ANN)] == ["🚨 fire"]
    post.clock.advance(3600)
    await post.passes()
    assert post.to(ANN)[-1].text == "❌ broken"


async def test_a_critical_incident_without_an_answer_rings_the_next_administrator(post: Post) -> None:
    await post.people(BOB)
    incident_id = await post.incident("vps-1", level=Level.CRITICAL, cause="host_key_changed")
    await post.passes()
    assert (len(post.to(ANN)), len(post.to(BOB))) == (1, 1)
    post.clock.advance(301)
    await post.passes(2)
    assert (len(post.to(ANN)), len(post.to(BOB))) == (1, 2)
    assert "Nobody has acknowledged incident" in post.to(BOB)[-1].text
    post.clock.advance(301)
    await post.passes(2)
    assert (len(post.to(ANN)), len(post.to(BOB))) == (2, 2)
    async with post.db.transaction() as session:
        await acknowledge(session, incident_id, PERSON, at=post.clock.now())
    for _ in range(10):
        post.clock.advance(301)
        await post.passes(1)
    assert (len(post.to(ANN)), len(post.to(BOB))) == (2, 2)


async def test_a_snooze_ends_with_a_reminder(post: Post) -> None:
    await post.incident("vps-1")
    await post.passes()
    async with post.db.transaction() as session:
        row = await session.scalar(select(Delivery))
        assert row is not None
        row.snoozed_until = post.clock.now() + timedelta(hours=1)
    await post.passes()
    assert len(post.to(ANN)) == 1
    post.clock.advance(3600)
    await post.passes()
    assert len(post.to(ANN)) == 2


async def test_what_is_a_day_old_is_no_news(post: Post) -> None:
    await post.note("old", Level.WARNING)
    await post.note("old and grave", Level.CRITICAL)
    post.clock.advance(25 * 3600)
    await post.passes()
    assert [message.text for message in post.to(ANN)] == ["🚨 old and grave"]
    assert all(row.sent_at is not None for row in await post.rows(OutboxMessage))


async def test_one_who_cannot_be_reached_doubles_nothing_for_another(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.people(ANN, BOB)
    send = post.messenger.send

    async def slow_or_away(chat_id: int, *args: object, **kwargs: object) -> int:
        if chat_id == BOB:
            raise MessengerAway("cut")
        sent = await send(chat_id, *args, **kwargs)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)  # it is there, and the answer is on its way
        return sent

    monkeypatch.setattr(post.messenger, "send", slow_or_away)
    await post.incident("vps-1")
    await post.passes(3)
    assert len(post.to(ANN)) == 1
    monkeypatch.undo()
    await post.passes(2)
    assert (len(post.to(ANN)), len(post.to(BOB))) == (1, 1)


async def test_a_message_that_cannot_be_made_keeps_nothing_back(post: Post) -> None:
    async with post.db.transaction() as session:
        session.add(
            OutboxMessage(
                level="critical", text="{gone} is lost", data={"handle": "vps-9"}, created_at=post.clock.now()
            )
        )
    await post.note("all is well")
    await post.passes(3)
    raw, fine = post.to(ANN)
    assert "{gone} is lost" in raw.text and "vps-9" in raw.text
    assert "all is well" in fine.text
