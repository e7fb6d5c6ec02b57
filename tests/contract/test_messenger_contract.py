"""What alerting needs of a messenger: the one in memory, and the real library against the lab's Telegram."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import httpx
import pytest
from telegram import Bot
from telegram.request import HTTPXRequest
from tests.fakes.messenger import FakeMessenger

from lazaret.adapters.telegram import TelegramMessenger
from lazaret.alerting.markdown import bold, code, link, text
from lazaret.alerting.messenger import (
    Button,
    ChatGone,
    ChatMoved,
    MessageGone,
    Messenger,
    MessengerAway,
    TokenRefused,
    TooFast,
)
from lazaret.lab.telegram.server import TelegramServer

ANN, GROUP = 501, -200
PRESS = ((Button("Yes", "a:1:2:x"), Button("No", "n:1:2:x")), (Button("Open", url="https://example.org/x"),))


@dataclass
class Shown:
    """A message as the person sees it."""

    text: str
    labels: list[str]
    is_silent: bool


class World(Protocol):
    """A messenger, and the other side of it."""

    messenger: Messenger

    async def shown(self) -> list[Shown]: ...
    async def be_away(self) -> None: ...
    async def ask_to_wait(self, seconds: int) -> None: ...
    async def block(self) -> None: ...
    async def move_group(self) -> None: ...
    async def delete(self, message_id: int) -> None: ...


@dataclass
class InMemory:
    messenger: FakeMessenger

    async def shown(self) -> list[Shown]:
        return [Shown(one.text, one.labels(), one.is_silent) for one in self.messenger.messages]

    async def be_away(self) -> None:
        self.messenger.is_away = True

    async def ask_to_wait(self, seconds: int) -> None:
        self.messenger.asks_to_wait_s = seconds

    async def block(self) -> None:
        self.messenger.gone.add(ANN)

    async def move_group(self) -> None:
        self.messenger.moved[GROUP] = -100200

    async def delete(self, message_id: int) -> None:
        self.messenger.deleted.add(message_id)


@dataclass
class InLab:
    messenger: TelegramMessenger
    server: TelegramServer

    async def shown(self) -> list[Shown]:
        rows = self.server.telegram.chats[ANN]
        return [
            Shown(one.text, [button["text"] for row in one.keyboard for button in row], one.is_silent)
            for one in rows
            if one.sender == 0
        ]

    async def be_away(self) -> None:
        self.server.faults.is_down = True

    async def ask_to_wait(self, seconds: int) -> None:
        self.server.faults.flood_s = seconds

    async def block(self) -> None:
        self.server.telegram.person(ANN, has_blocked=True)

    async def move_group(self) -> None:
        self.server.telegram.moved[GROUP] = -100200

    async def delete(self, message_id: int) -> None:
        self.server.telegram.delete(ANN, message_id)


def bot_at(server: TelegramServer, token: str = "") -> Bot:
    request = HTTPXRequest(read_timeout=2, connect_timeout=2)
    return Bot(token or server.token, base_url=f"{server.root_url}/bot", request=request)


@pytest.fixture(params=["in memory", "the lab's Telegram"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "in memory":
        yield InMemory(FakeMessenger())
        return
    async with TelegramServer().running() as server:
        server.telegram.person(ANN, first_name="Ann", has_started=True)
        bot = bot_at(server)
        async with bot:
            yield InLab(TelegramMessenger(bot), server)


async def test_a_message_arrives_with_its_buttons(world: World) -> None:
    said = bold("vps-1") + text(" is back (5.2 s)! ") + code("a`b\\c") + link("open", "https://example.org/(x)")
    first = await world.messenger.send(ANN, said.markdown, plain=said.plain, keyboard=PRESS)
    second = await world.messenger.send(ANN, "two", plain="two", is_silent=True)
    assert first != second
    one, two = await world.shown()
    assert one.text.startswith("vps-1 is back (5.2 s)! a`b\\c")
    assert (one.labels, one.is_silent) == (["Yes", "No", "Open"], False)
    assert (two.text, two.labels, two.is_silent) == ("two", [], True)


async def test_an_edit_replaces_text_and_buttons_and_may_change_nothing(world: World) -> None:
    message_id = await world.messenger.send(ANN, "one", plain="one", keyboard=PRESS)
    await world.messenger.edit(ANN, message_id, "two", plain="two")
    await world.messenger.edit(ANN, message_id, "two", plain="two")
    (shown,) = await world.shown()
    assert (shown.text, shown.labels) == ("two", [])


async def test_markup_that_is_refused_goes_out_plain(world: World) -> None:
    message_id = await world.messenger.send(ANN, "*never closed.", plain="never closed.")
    await world.messenger.edit(ANN, message_id, "a.b", plain="a.b c")
    assert [one.text for one in await world.shown()] == ["a.b c"]


@pytest.mark.parametrize("content", ["x" * 10_000, "🚨" * 5_000, "_*[]()~`>#+-=|{}.!\\" * 300])
async def test_a_text_of_any_length_and_kind_arrives(world: World, content: str) -> None:
    said = text(content)
    await world.messenger.send(ANN, said.markdown, plain=said.plain)
    (shown,) = await world.shown()
    assert shown.text[:1000] == content[:1000]
    assert len(shown.text.encode("utf-16-le")) // 2 <= 4096


async def test_a_deleted_message_cannot_be_edited(world: World) -> None:
    message_id = await world.messenger.send(ANN, "one", plain="one")
    await world.delete(message_id)
    with pytest.raises(MessageGone):
        await world.messenger.edit(ANN, message_id, "two", plain="two")


async def test_a_pause_that_is_asked_for_is_told(world: World) -> None:
    await world.ask_to_wait(7)
    with pytest.raises(TooFast) as refused:
        await world.messenger.send(ANN, "one", plain="one")
    assert refused.value.retry_after_s == 7
    await world.messenger.send(ANN, "one", plain="one")


async def test_who_blocked_the_bot_is_told_apart_from_a_messenger_that_is_away(world: World) -> None:
    await world.block()
    with pytest.raises(ChatGone):
        await world.messenger.send(ANN, "one", plain="one")
    await world.be_away()
    with pytest.raises(MessengerAway):
        await world.messenger.send(ANN, "one", plain="one")


async def test_a_group_that_moved_says_where(world: World) -> None:
    await world.move_group()
    with pytest.raises(ChatMoved) as moved:
        await world.messenger.send(GROUP, "one", plain="one")
    assert moved.value.chat_id == -100200


async def test_a_wrong_token_is_refused_and_never_shown() -> None:
    async with TelegramServer().running() as server:
        token = "1234567890:wrong-wrong-wrong-wrong-wrong-wrong"
        bot = bot_at(server, token)
        messenger = TelegramMessenger(bot)
        with pytest.raises(TokenRefused) as refused:
            await messenger.send(ANN, "one", plain="one")
        assert token not in f"{refused.value!r} {refused.value} {refused.value.__cause__!r}"
        assert "TELEGRAM_BOT_TOKEN" in refused.value.hint


async def test_a_person_whom_telegram_does_not_know() -> None:
    async with TelegramServer().running() as server:
        server.telegram.person(502, first_name="Bob")
        for person in (502, 503):
            async with bot_at(server) as bot:
                with pytest.raises(ChatGone):
                    await TelegramMessenger(bot).send(person, "one", plain="one")


async def test_a_message_with_buttons_that_telegram_refuses_arrives_without_them() -> None:
    async with TelegramServer().running() as server:
        server.telegram.person(ANN, first_name="Ann", has_started=True)
        async with bot_at(server) as bot:
            messenger = TelegramMessenger(bot)
            await messenger.send(ANN, "*one*", plain="one", keyboard=((Button("Open", url="localhost"),),))
            row = (Button("Why?", data="w"), Button("Open", url="http://localhost:8000/incidents/1"))
            await messenger.send(ANN, "*two*", plain="two", keyboard=(row,))
        one, two = server.telegram.chats[ANN]
        assert (one.text, one.keyboard, [entity["type"] for entity in one.entities]) == ("one", [], ["bold"])
        assert two.keyboard == [[{"text": "Why?", "callback_data": "w"}]], "only what Telegram refuses is left out"
        assert two.entities[0]["type"] == "bold"


async def test_the_phone_is_a_page_that_asks_no_other_host() -> None:
    async with TelegramServer().running() as server, httpx.AsyncClient(base_url=server.root_url) as http:
        page = await http.get("/phone")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for name in ("phone.js", "phone.css"):
            assert (await http.get(f"/phone/{name}")).status_code == 200
            assert "http" not in page.text.replace("http-equiv", "")
        assert (await http.get("/phone/other")).status_code == 404
