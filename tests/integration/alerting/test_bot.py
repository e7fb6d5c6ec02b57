"""The bot, with the real library, against the lab's Telegram: people write and press on phones."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select
from structlog.testing import capture_logs

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.bot.commands import COMMANDS
from lazaret.entrypoints.bot.process import run_bot
from lazaret.entrypoints.bot.webhook import SECRET_HEADER, secret_of
from lazaret.entrypoints.office import Office
from lazaret.healing.model import Approval, Decision
from lazaret.healing.wishes import Wishes, WishKind
from lazaret.incidents.model import Incident, IncidentType, TimelineKind
from lazaret.incidents.store import open_incident, tell
from lazaret.kernel import audit
from lazaret.kernel.audit import AuditEntry
from lazaret.lab.telegram.client import Phone
from lazaret.lab.telegram.server import TelegramServer
from lazaret.operations.model import Operation
from lazaret.servers.model import Hold, MaintenanceWindow
from lazaret.servers.status import ServerStatus
from lazaret.users.model import Role, User
from lazaret.users.store import get_user, set_role
from tests.integration.rows import add_server

ANN, BORIS, VERA, EVE = 501, 502, 503, 999
GROUP = -1001
TESTER = audit.Actor("tester", audit.Channel.CLI)


@dataclass
class Street:
    """A bot at work, and people with phones."""

    office: Office
    server: TelegramServer
    http: httpx.AsyncClient
    ann: Phone
    """An administrator."""

    async def phone(self, person: int, name: str, *, language: str = "en", role: Role | None = None) -> Phone:
        phone = await Phone.of(self.http, person, name, language)
        await phone.ask("/start")
        if role is not None:
            async with self.office.db.transaction() as session:
                user = await get_user(session, person)
                set_role(session, user, role, TESTER, at=self.office.clock.now())
            await asyncio.sleep(1.2)  # a stranger of a moment ago is not looked at sooner
        return phone

    async def rows(self, statement) -> list:  # type: ignore[no-untyped-def,type-arg]
        async with self.office.db.transaction() as session:
            return list(await session.scalars(statement))

    async def incident(self, handle: str, level: Level = Level.ERROR) -> int:
        now = self.office.clock.now()
        async with self.office.db.transaction() as session:
            incident, _ = await open_incident(
                session, handle, IncidentType.SERVER_UNREACHABLE, audit.MONITOR, at=now, cause="silent"
            )
            tell(
                session,
                incident,
                TimelineKind.OBSERVATION,
                "{condition}: {because}",
                at=now,
                condition="silent",
                because="-",
            )
            notify_admins(session, "lost", level, at=now, server_handle=handle, incident_id=incident.id)
            return incident.id

    async def question(self, incident_id: int, handle: str) -> int:
        """A recovery that waits for an approval."""
        now = self.office.clock.now()
        async with self.office.db.transaction() as session:
            operation = Operation(
                server_handle=handle,
                kind="recover",
                status="waiting",
                requested_by="system:monitor",
                reason="",
                params={"incident_id": incident_id},
                priority=0,
                step="ask_approval",
                attempt=1,
                max_attempts=3,
                due_at=now,
                waiting_for="approval",
                result={},
                created_at=now,
            )
            session.add(operation)
            await session.flush()
            approval = Approval(
                operation_id=operation.id,
                incident_id=incident_id,
                server_handle=handle,
                rung=3,
                remedy="reinstall",
                why="ALL DATA goes",
                asked_at=now,
                expires_at=now.replace(year=now.year + 1),
            )
            session.add(approval)
            await session.flush()
            notify_admins(
                session,
                "{handle}: {remedy}?",
                Level.CRITICAL,
                at=now,
                server_handle=handle,
                incident_id=incident_id,
                approval_id=approval.id,
                handle=handle,
                remedy="reinstall",
            )
            return approval.id


@asynccontextmanager
async def street_of(office: Office, **settings: object) -> AsyncIterator[Street]:
    async with TelegramServer().running() as server, httpx.AsyncClient(base_url=server.root_url, timeout=30) as http:
        changed = office.settings.model_copy(
            update={
                "telegram_bot_token": SecretStr(server.token),
                "telegram_api_base_url": server.root_url,
                "telegram_admin_ids": frozenset({ANN}),
                **settings,
            }
        )
        office = replace(office, settings=changed)
        async with office.db.transaction() as session:
            for number in (900001, 900002):
                await add_server(session, f"vps-{number - 900000}", at=office.clock.now())
        bot = asyncio.create_task(run_bot(office))
        try:
            ann = await Phone.of(http, ANN, "Ann")
            await ann.ask("/start")
            yield Street(office, server, http, ann)
        finally:
            bot.cancel()
            await asyncio.gather(bot, return_exceptions=True)


@pytest.fixture
async def street(office: Office) -> AsyncIterator[Street]:
    async with street_of(office) as made:
        yield made


async def test_every_command_answers_an_administrator(street: Street) -> None:
    await street.incident("vps-1")
    await street.ann.until(lambda one: "Incident 1" in one["text"])
    said = {}
    for command in COMMANDS:
        text = f"/{command}" + (" vps-1" if COMMANDS[command].usage.startswith("HANDLE") else "")
        said[command] = (await street.ann.ask(text))["text"]
    assert all(said.values())
    assert "in use" in said["status"] or "ready: 2" in said["status"]
    assert "vps-1" in said["servers"]
    assert "does not answer at all" in said["incidents"]
    assert "What is" in said["why"]
    assert "write the handle twice" in said["rebuild"]
    assert [one["command"] for one in street.server.telegram.commands] == list(COMMANDS)


async def test_everybody_is_registered_before_anything_else_and_strangers_learn_nothing(street: Street) -> None:
    eve = await Phone.of(street.http, EVE, "Eve")
    for text in ("/servers", "/freeze all", "hello"):
        await eve.write(text)
    refused = await eve.until(lambda one: "do not know you" in one["text"])
    assert str(EVE) in refused["text"]
    await asyncio.sleep(1)
    assert len(await eve.told()) == 1, "once in a while is enough"
    users = {user.telegram_id: user for user in await street.rows(select(User))}
    assert (users[EVE].role, users[EVE].username, users[EVE].first_name) == (None, "eve", "Eve")
    assert (users[ANN].role, users[ANN].is_admin) == ("admin", True)
    assert await street.rows(select(Hold)) == []


async def test_an_incident_is_followed_and_acknowledged_with_a_thumb(street: Street) -> None:
    incident_id = await street.incident("vps-1", Level.CRITICAL)
    card = await street.ann.until(lambda one: "does not answer at all" in one["text"])
    assert await street.ann.press("Acknowledge", on=card) == "Acknowledged."
    card = await street.ann.until(lambda one: "Acknowledged by telegram:ann" in one["text"])
    assert card["edits"] >= 1
    assert "What is" in (await _answer_to(street.ann, "Why?", card))["text"]
    (row,) = await street.rows(select(Incident).where(Incident.id == incident_id))
    assert row.acknowledged_by == "telegram:ann"
    entries = await street.rows(select(AuditEntry).where(AuditEntry.action == "incident.acknowledge"))
    assert [(entry.actor, entry.channel) for entry in entries] == [("ann", "telegram")]


async def _answer_to(phone: Phone, label: str, card: dict) -> dict:  # type: ignore[type-arg]
    before = max(one["id"] for one in await phone.messages())
    await phone.press(label, on=card)
    return await phone.until(lambda one: one["id"] > before)


async def test_a_question_is_answered_in_russian_and_twice_is_once(street: Street) -> None:
    boris = await street.phone(BORIS, "Борис", language="ru", role=Role.ADMIN)
    approval_id = await street.question(await street.incident("vps-1"), "vps-1")
    asked = await boris.until(lambda one: "переустановка системы?" in one["text"])
    deny = next(button for row in asked["keyboard"] for button in row if "Отклонить" in button["text"])
    assert await boris.press_data(asked["id"], deny["callback_data"]) == "Отклонено."
    assert await boris.press_data(asked["id"], deny["callback_data"]) == "Отклонено."
    (row,) = await street.rows(select(Approval).where(Approval.id == approval_id))
    assert (row.decision, row.decided_by) == (Decision.DENIED, "telegram:борис")
    closed = await boris.until(lambda one: one["id"] == asked["id"] and not one["keyboard"])
    assert "отклонил telegram:борис" in closed["text"]
    closed = await street.ann.until(lambda one: "denied by telegram:борис" in one["text"] and not one["keyboard"])
    entries = await street.rows(select(AuditEntry).where(AuditEntry.action == "approval.denied"))
    assert len(entries) == 1


async def test_what_an_agent_wishes_is_granted_with_a_thumb(street: Street) -> None:
    office = street.office
    async with office.db.transaction() as session:
        robot = audit.Actor("robot", audit.Channel.AGENT)
        wishes = Wishes(office.intents, timedelta(hours=1))
        await wishes.ask(session, "vps-2", WishKind.PROVISION, robot, at=office.clock.now(), reason="it is *old*")
    asked = await street.ann.until(lambda one: "agent:robot asks to set up vps-2" in one["text"])
    assert "it is *old*" in asked["text"], "what an agent writes is shown as it is, and marks up nothing"
    assert await street.ann.press("Approve", on=asked) == "Approved."
    (operation,) = await street.rows(select(Operation))
    assert (operation.kind, operation.server_handle, operation.requested_by) == ("provision", "vps-2", "telegram:ann")
    await street.ann.until(lambda one: one["id"] == asked["id"] and "approved by telegram:ann" in one["text"])


async def test_two_who_press_approve_and_deny_at_once(street: Street) -> None:
    boris = await street.phone(BORIS, "Boris", role=Role.ADMIN)
    approval_id = await street.question(await street.incident("vps-1"), "vps-1")
    asked = [await phone.until(lambda one: "reinstall the system?" in one["text"]) for phone in (street.ann, boris)]
    said = await asyncio.gather(street.ann.press("Approve", on=asked[0]), boris.press("Deny", on=asked[1]))
    (row,) = await street.rows(select(Approval).where(Approval.id == approval_id))
    assert row.decision in ("approved", "denied")
    assert sum("already" in one for one in said) == 1, said
    entries = await street.rows(
        select(AuditEntry).where(AuditEntry.action.in_(["approval.approved", "approval.denied"]))
    )
    assert len(entries) == 1


async def test_buttons_of_others_forged_ones_and_old_ones_do_nothing(street: Street) -> None:
    boris = await street.phone(BORIS, "Boris", role=Role.ADMIN)
    vera = await street.phone(VERA, "Vera", role=Role.VIEWER)
    approval_id = await street.question(await street.incident("vps-1"), "vps-1")
    asked = await street.ann.until(lambda one: "reinstall the system?" in one["text"])
    data = asked["keyboard"][0][0]["callback_data"]
    eve = await Phone.of(street.http, EVE, "Eve")
    for phone in (boris, vera):
        assert "not yours" in await phone.press_data(asked["id"], data, chat_id=ANN)
    assert "do not know you" in await eve.press_data(asked["id"], data, chat_id=ANN)
    for forged in ("y:1:ffffffffff:AAAAAAAAAAAAAAAAAAAA", "y:1", ":::", "x" * 64, data[:-1] + "!"):
        assert "not yours" in await street.ann.press_data(asked["id"], forged)
    async with street.office.db.transaction() as session:
        set_role(session, await get_user(session, ANN), Role.VIEWER, TESTER, at=street.office.clock.now())
    assert "needs the role operator" in await street.ann.press_data(asked["id"], data), "the role is asked for anew"
    (row,) = await street.rows(select(Approval).where(Approval.id == approval_id))
    assert row.decision is None


async def test_what_changes_something_needs_its_role(street: Street) -> None:
    vera = await street.phone(VERA, "Vera", role=Role.VIEWER)
    boris = await street.phone(BORIS, "Boris", role=Role.OPERATOR)
    for command, one in COMMANDS.items():
        text = f"/{command} vps-2" if "HANDLE" in one.usage else f"/{command}"
        said = (await vera.ask(text))["text"]
        assert ("needs the role" in said) is (one.role is not None and not Role.VIEWER.includes(one.role)), command
    assert await street.rows(select(Operation)) == []
    assert await street.rows(select(Hold)) == []
    said = (await boris.ask("/freeze vps-2 2h disk swap"))["text"]
    assert "vps-2" in said
    (hold,) = await street.rows(select(Hold))
    assert (hold.server_handle, hold.owner, hold.reason) == ("vps-2", "telegram:boris", "disk swap")
    assert hold.expires_at is not None
    assert "lifted" in (await boris.ask("/unfreeze vps-2"))["text"]
    assert "Nothing was frozen" in (await boris.ask("/unfreeze vps-2"))["text"]
    assert "Maintenance" in (await boris.ask("/maintenance vps-1 2h new disk"))["text"]
    (window,) = await street.rows(select(MaintenanceWindow))
    assert (window.server_handle, window.reason) == ("vps-1", "new disk")


async def test_the_fleet_is_meant_by_all(street: Street) -> None:
    assert "the fleet, 2 h" in (await street.ann.ask("/freeze all 2h the provider works"))["text"]
    (hold,) = await street.rows(select(Hold))
    assert (hold.server_handle, hold.reason) == (None, "the provider works")
    assert hold.expires_at == hold.created_at + timedelta(hours=2)
    assert "End it: /unfreeze all" in (await street.ann.ask("/unfreeze vps-1"))["text"]
    assert "1 hold is lifted" in (await street.ann.ask("/unfreeze all"))["text"]
    assert "Maintenance of the fleet" in (await street.ann.ask("/maintenance all 2h a new kernel"))["text"]
    (window,) = await street.rows(select(MaintenanceWindow))
    assert (window.server_handle, window.reason) == (None, "a new kernel")


SLIPS = [
    ("/freeze", "Which server?"),
    ("/freeze 2h the provider works", "Which server?"),
    ("/freeze the provider works", "There is no server 'the'."),
    ("/freeze vps2 2h provider", "There is no server 'vps2'."),
    ("/unfreeze", "Which server?"),
    ("/unfreeze vps2", "There is no server 'vps2'."),
    ("/maintenance", "Which server?"),
    ("/maintenance 2h kernel", "Which server?"),
    ("/maintenance vps2 2h kernel", "There is no server 'vps2'."),
]
ENDS_AT_ONCE = ["/freeze vps-2 0h x", "/freeze all 00m x", "/freeze vps-2 -2h x", "/maintenance vps-2 0d x"]


async def test_a_slip_never_means_the_fleet_or_without_end(street: Street) -> None:
    """A handle that was forgotten or lost its hyphen, and a length of nothing."""
    assert "Frozen" in (await street.ann.ask("/freeze all it is so already"))["text"]
    for text, says in SLIPS:
        said = (await street.ann.ask(text))["text"]
        assert says in said and f"For the whole fleet: {text.split()[0]} all" in said, (text, said)
    for text in ENDS_AT_ONCE:
        assert "That is no duration." in (await street.ann.ask(text))["text"], text
    (hold,) = await street.rows(select(Hold))
    assert (hold.reason, hold.lifted_at) == ("it is so already", None)
    assert await street.rows(select(MaintenanceWindow)) == []


async def test_a_ghost_cannot_be_touched(street: Street) -> None:
    async with street.office.db.transaction() as session:
        ghost = await add_server(session, "vps-9", at=street.office.clock.now())
        ghost.is_managed, ghost.status = False, ServerStatus.RESERVED
    for command in ("/rebuild vps-9 vps-9", "/provision vps-9"):
        assert "not managed" in (await street.ann.ask(command))["text"], command
    assert await street.rows(select(Operation)) == []


async def test_a_rebuild_needs_the_handle_twice(street: Street) -> None:
    async with street.office.db.transaction() as session:
        server = await add_server(session, "vps-3", at=street.office.clock.now())
        server.provider_id = 900003
    assert "ALL DATA" in (await street.ann.ask("/rebuild vps-3"))["text"]
    assert "ALL DATA" in (await street.ann.ask("/rebuild vps-3 vps-1"))["text"]
    assert await street.rows(select(Operation)) == []
    assert "is recorded" in (await street.ann.ask("/rebuild vps-3 vps-3 it is broken"))["text"]
    (operation,) = await street.rows(select(Operation))
    assert (operation.kind, operation.requested_by, operation.reason) == ("rebuild", "telegram:ann", "it is broken")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/server", "Which server?"),
        ("/server vps-77", "There is no server"),
        ("/server " + "x" * 3000, "There is no server"),
        ("/why *_`[(", "There is no server"),
        ("/maintenance vps-1", "For how long?"),
        ("/mute tomorrow", "That is no duration."),
        ("/mute 99999999999999999999d", "Until"),
        ("/language de", "Which language?"),
        ("/nonsense", "I do not know the command"),
        ("/freeze all " + "y" * 3000, "A reason of 1 to"),
        ("/servers 99999999999", "vps-1"),
        ("_*[]()~`>#+-=|{}.!\\ " * 150, "What you can ask"),
    ],
)
async def test_bad_input_gets_a_clear_answer(street: Street, text: str, says: str) -> None:
    assert says in (await street.ann.ask(text))["text"]


async def test_pages_of_servers_turn_in_place(street: Street) -> None:
    async with street.office.db.transaction() as session:
        for number in range(10, 40):
            await add_server(session, f"vps-{number}", at=street.office.clock.now(), status=ServerStatus.READY)
    first = await street.ann.ask("/servers")
    assert "Page 1 of 3" in first["text"]
    await street.ann.press("▶", on=first)
    turned = await street.ann.until(lambda one: "Page 2 of 3" in one["text"])
    assert turned["id"] == first["id"]


async def test_mute_and_language_are_of_the_one_who_asks(street: Street) -> None:
    assert "until" in (await street.ann.ask("/mute 2h"))["text"].lower()
    (user,) = await street.rows(select(User).where(User.telegram_id == ANN))
    assert user.muted_until is not None
    await street.ann.ask("/mute off")
    await street.ann.ask("/language ru")
    assert "Парк" in (await street.ann.ask("/status"))["text"]


async def test_telegram_that_is_down_for_a_while_is_no_end(street: Street) -> None:
    street.server.faults.is_down = True
    await street.incident("vps-1")
    await asyncio.sleep(3)
    street.server.faults.is_down = False
    await street.ann.until(lambda one: "does not answer at all" in one["text"], timeout_s=30)
    assert "vps-1" in (await street.ann.ask("/servers", timeout_s=40))["text"]


async def test_telegram_that_is_away_fills_no_log(street: Street, caplog: pytest.LogCaptureFixture) -> None:
    """While the bot runs: the library asks again and again, and none of it is told with a traceback."""
    with capture_logs() as told:
        street.server.faults.is_down = True
        before = street.server.calls
        async with asyncio.timeout(60):
            while street.server.calls < before + 6:
                await asyncio.sleep(0.2)
    assert [record for record in caplog.records if record.exc_info] == []
    assert 1 <= len(told) <= 4, told
    assert {(one["event"], one["part"]) for one in told} == {("bot.telegram_away", "bot")}


async def test_a_bot_that_begins_while_telegram_is_away(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    async with TelegramServer().running() as server:
        server.faults.is_down = True
        token = {"telegram_bot_token": SecretStr(server.token), "telegram_api_base_url": server.root_url}
        with capture_logs() as told:
            bot = asyncio.create_task(run_bot(replace(office, settings=office.settings.model_copy(update=token))))
            async with asyncio.timeout(60):
                while server.calls < 4:
                    await asyncio.sleep(0.1)
        assert [record for record in caplog.records if record.exc_info] == []
        assert {(one["event"], one["part"]) for one in told} == {
            ("bot.telegram_away", "bot"),
            ("bot.telegram_away", "notifier"),
        }, told
        server.faults.is_down = False
        async with asyncio.timeout(60):
            while not server.telegram.commands:
                await asyncio.sleep(0.1)
        bot.cancel()
        await asyncio.gather(bot, return_exceptions=True)


async def test_a_wrong_token_ends_nothing_else(office: Office) -> None:
    async with TelegramServer().running() as server:
        settings = office.settings.model_copy(
            update={
                "telegram_bot_token": SecretStr("1234567890:wrong-wrong-wrong-wrong-wrong-wrong"),
                "telegram_api_base_url": server.root_url,
            }
        )
        bot = asyncio.create_task(run_bot(replace(office, settings=settings)))
        await asyncio.sleep(2)
        assert not bot.done()
        assert server.calls < 10
        bot.cancel()
        await asyncio.gather(bot, return_exceptions=True)


async def test_updates_by_webhook(office: Office) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with street_of(
        office, telegram_webhook_url=f"http://127.0.0.1:{port}/hook", telegram_webhook_port=port
    ) as street:
        assert street.server.telegram.webhook["url"].endswith("/hook")
        assert "ready: 2" in (await street.ann.ask("/status"))["text"]


async def test_the_webhook_believes_only_who_knows_the_secret(office: Office) -> None:
    """Anybody may find its address; without the secret nothing of what is sent is even read."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/hook"
    async with street_of(office, telegram_webhook_url=url, telegram_webhook_port=port) as street:
        secret = secret_of(street.office.settings)
        order = {
            "update_id": 1,
            "message": {
                "message_id": 1,
                "date": 0,
                "chat": {"id": ANN, "type": "private"},
                "from": {"id": ANN, "is_bot": False, "first_name": "Ann"},
                "text": "/freeze all 2h forged",
                "entities": [{"type": "bot_command", "offset": 0, "length": 7}],
            },
        }
        for wrong in (None, "", "wrong", secret[:-1], secret.upper(), f"{secret} "[:-2] + "é"):
            headers = {} if wrong is None else {SECRET_HEADER: wrong.encode()}
            assert (await street.http.post(url, json=order, headers=headers)).status_code == 403, wrong  # type: ignore[arg-type]
        assert (await street.http.post(url, json=order)).status_code == 403
        known = {SECRET_HEADER: secret}
        assert (await street.http.post(url, content=b"{", headers=known)).status_code == 400
        assert (await street.http.post(url, content=b" " * 300_000, headers=known)).status_code == 413
        assert (await street.http.get(url, headers=known)).status_code == 405
        assert "ready: 2" in (await street.ann.ask("/status"))["text"]
        assert await street.rows(select(Hold)) == [], "none of the forged orders was followed"
        assert (await street.http.post(url, json=order, headers=known)).status_code == 200
        async with asyncio.timeout(20):
            while not await street.rows(select(Hold)):
                await asyncio.sleep(0.1)


async def test_a_link_to_the_dashboard_has_the_role_of_who_asked(office: Office) -> None:
    async with street_of(office, lazaret_public_url="http://lazaret.test") as street:
        boris = await street.phone(BORIS, "Boris", role=Role.VIEWER)
        said = (await boris.ask("/login"))["text"]
        link = said.splitlines()[-1].removeprefix("http://lazaret.test")
        app = create_app(street.office)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://lazaret.test") as http:
            assert (await http.post(link)).status_code == 303
            assert "(boris, viewer)" in (await http.get("/")).text
        await street.incident("vps-1")
        card = await street.ann.until(lambda one: "does not answer at all" in one["text"])
        buttons = [button for row in card["keyboard"] for button in row]
        assert {"text": "Open", "url": "http://lazaret.test/incidents/1"} in buttons


async def test_in_a_group_it_answers_commands_and_hands_out_no_link(office: Office) -> None:
    async with street_of(office, lazaret_public_url="http://lazaret.test") as street:
        telegram = street.server.telegram
        telegram.write(ANN, "shall we have lunch?", GROUP)
        telegram.write(ANN, "/login@lazaret_lab_bot", GROUP)
        telegram.write(ANN, "/status", GROUP)
        async with asyncio.timeout(15):
            while len(said := [one.text for one in telegram.chats[GROUP] if one.sender == 0]) < 2:
                await asyncio.sleep(0.05)
        assert any("Others read along" in one for one in said)
        assert any("ready: 2" in one for one in said)
        assert not any("/sign-in/" in one for one in said)


async def test_odd_characters_end_nothing(street: Street) -> None:
    odd = await Phone.of(street.http, EVE, "E\x00ve")
    await odd.write("hello")
    await odd.until(lambda one: "do not know you" in one["text"])
    assert "vps-1" in (await street.ann.ask("/server vps\x00-1"))["text"], "what no text may hold is left out"
    users = {user.telegram_id: user for user in await street.rows(select(User))}
    assert users[EVE].first_name == "Eve"


async def test_a_flood_of_strangers_costs_little_and_keeps_nobody_waiting(street: Street) -> None:
    crowd = [await Phone.of(street.http, 10_000 + number, f"S{number}") for number in range(20)]
    for _ in range(10):
        for phone in crowd:
            await phone.write("/status " + "x" * 3000)
    said = await street.ann.ask("/status", timeout_s=60)
    assert "ready: 2" in said["text"]
    await asyncio.sleep(2)
    assert max([len(await phone.told()) for phone in crowd]) <= 1
    strangers = [user for user in await street.rows(select(User)) if user.role is None]
    assert len(strangers) == len(crowd), "each is listed, once"
