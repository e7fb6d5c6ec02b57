"""People, chats and messages of the lab's messenger, and the updates that the bot has not taken yet.

Knows what Telegram refuses and in which words; knows nothing of HTTP.
"""

import asyncio
import itertools
import secrets
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from lazaret.kernel.clock import Clock
from lazaret.lab.telegram.markup import MarkupError, parse_markdown, utf16

LONGEST_TEXT = 4096
LONGEST_DATA = 64
Json = dict[str, Any]


class Refused(Exception):
    """The Bot API says no: code, description, and what comes with it."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass
class Person:
    """Somebody with a phone."""

    id: int
    first_name: str
    username: str = ""
    language_code: str = "en"
    has_started: bool = False
    has_blocked: bool = False

    def as_json(self) -> Json:
        """As the Bot API shows a user."""
        body: Json = {"id": self.id, "is_bot": False, "first_name": self.first_name}
        return body | ({"username": self.username} if self.username else {}) | {"language_code": self.language_code}


@dataclass
class ChatMessage:
    """One message as it stands now; earlier texts are in `history`."""

    id: int
    chat_id: int
    sender: int
    """Id of the person, 0: the bot."""
    text: str
    entities: list[Json]
    keyboard: list[list[Json]]
    date: int
    is_silent: bool = False
    is_deleted: bool = False
    history: list[str] = field(default_factory=list)


@dataclass
class Limits:
    """Flood control; a gap of 0 switches it off."""

    chat_gap_s: float = 0.0
    """Seconds per message into one chat in the long run; a burst of `burst` passes."""
    burst: int = 5


class Telegram:
    """All state of one messenger with one bot."""

    def __init__(self, clock: Clock, *, token: str = "") -> None:
        self.clock = clock
        self.token = token or f"{secrets.randbelow(10**9) + 10**9}:{secrets.token_urlsafe(26)[:35]}"
        self.bot: Json = {
            "id": int(self.token.split(":")[0]),
            "is_bot": True,
            "first_name": "Lazaret",
            "username": "lazaret_lab_bot",
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }
        self.people: dict[int, Person] = {}
        self.chats: dict[int, list[ChatMessage]] = defaultdict(list)
        self.moved: dict[int, int] = {}
        self.commands: list[Json] = []
        self.webhook: Json = {"url": ""}
        self.toasts: dict[str, Json] = {}
        """Answers to presses by the id of the callback query."""
        self.limits = Limits()
        self.changed = asyncio.Event()
        self.is_closing = False
        self._updates: list[Json] = []
        self._numbers = itertools.count(1)
        self._update_numbers = itertools.count(1000)
        self._spent: dict[int, list[float]] = defaultdict(list)

    def close(self) -> None:
        """Whoever waits for something to happen waits no longer."""
        self.is_closing = True
        self._ring()

    # --- the bot's side

    def send(self, chat_id: int, text: str, *, parse_mode: str, keyboard: list[list[Json]], is_silent: bool) -> Json:
        """A new message of the bot's."""
        self._require_open(chat_id)
        self._spend(chat_id)
        plain, entities = self._read(text, parse_mode)
        _check_keyboard(keyboard)
        message = ChatMessage(
            next(self._numbers), chat_id, 0, plain, entities, keyboard, int(self.clock.now().timestamp()), is_silent
        )
        self.chats[chat_id].append(message)
        self._ring()
        return self.message_json(message)

    def edit(self, chat_id: int, message_id: int, text: str, *, parse_mode: str, keyboard: list[list[Json]]) -> Json:
        """Change a message of the bot's."""
        self._require_open(chat_id)
        self._spend(chat_id)
        found = self._find(chat_id, message_id)
        if found is None or found.is_deleted:
            raise Refused(400, "Bad Request: message to edit not found")
        if found.sender != 0:
            raise Refused(400, "Bad Request: message can't be edited")
        plain, entities = self._read(text, parse_mode)
        _check_keyboard(keyboard)
        if (plain, entities, keyboard) == (found.text, found.entities, found.keyboard):
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message",
            )
        found.history.append(found.text)
        found.text, found.entities, found.keyboard = plain, entities, keyboard
        self._ring()
        return self.message_json(found)

    def answer_press(self, query_id: str, text: str, *, is_alert: bool) -> None:
        """The small note that a press brings."""
        if query_id not in self.toasts:
            raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.toasts[query_id] = {"text": text, "is_alert": is_alert, "is_answered": True}
        self._ring()

    async def updates(self, offset: int, timeout_s: float, limit: int) -> list[Json]:
        """What happened from `offset` on; waits up to `timeout_s` for something to happen."""
        if self.webhook["url"]:
            raise Refused(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it first",
            )
        self._updates = [one for one in self._updates if one["update_id"] >= offset] if offset > 0 else self._updates
        ends_at = self.clock.monotonic() + timeout_s
        while not self._updates and not self.is_closing and self.clock.monotonic() < ends_at:
            try:
                async with asyncio.timeout(min(0.5, max(0.01, ends_at - self.clock.monotonic()))):
                    await self.changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(0)
        return self._updates[:limit]

    def take_updates(self) -> list[Json]:
        """What happened and was not taken, for a webhook."""
        taken, self._updates = self._updates, []
        return taken

    # --- the people's side

    def person(self, person_id: int, **facts: Any) -> Person:
        """This person, made on first use."""
        found = self.people.setdefault(person_id, Person(person_id, str(facts.get("first_name", f"P{person_id}"))))
        for name, value in facts.items():
            setattr(found, name, value)
        self._ring()
        return found

    def write(self, person_id: int, text: str, chat_id: int = 0) -> ChatMessage:
        """A person writes to the bot, or (with its id) into a group that the bot is in."""
        person = self.person(person_id)
        person.has_started, person.has_blocked = True, False
        message = ChatMessage(
            next(self._numbers), chat_id or person_id, person_id, text, [], [], int(self.clock.now().timestamp())
        )
        if text.startswith("/"):
            length = utf16(text.split(maxsplit=1)[0])
            message.entities = [{"type": "bot_command", "offset": 0, "length": length}]
        self.chats[message.chat_id].append(message)
        self._happen({"message": self.message_json(message)})
        return message

    def press(self, person_id: int, chat_id: int, message_id: int, data: str) -> str:
        """A person presses a button, or sends any data as if they had; returns the id of the query."""
        message = self._find(chat_id, message_id)
        query_id = secrets.token_hex(8)
        self.toasts[query_id] = {"text": "", "is_alert": False, "is_answered": False}
        self._happen(
            {
                "callback_query": {
                    "id": query_id,
                    "from": self.person(person_id).as_json(),
                    "chat_instance": str(chat_id),
                    "data": data,
                    **({"message": self.message_json(message)} if message is not None else {}),
                }
            }
        )
        return query_id

    def delete(self, chat_id: int, message_id: int) -> None:
        """A person deletes a message on their side and the bot's."""
        found = self._find(chat_id, message_id)
        if found is not None:
            found.is_deleted = True
            self._ring()

    def message_json(self, message: ChatMessage) -> Json:
        """As the Bot API shows a message."""
        sender = self.bot if message.sender == 0 else self.person(message.sender).as_json()
        chat: Json = {"id": message.chat_id, "type": "private" if message.chat_id > 0 else "supergroup"}
        if message.chat_id in self.people:
            chat["first_name"] = self.people[message.chat_id].first_name
        body: Json = {"message_id": message.id, "date": message.date, "chat": chat, "from": sender}
        body["text"] = message.text
        if message.entities:
            body["entities"] = message.entities
        if message.keyboard:
            body["reply_markup"] = {"inline_keyboard": message.keyboard}
        return body

    # --- inside

    def _find(self, chat_id: int, message_id: int) -> ChatMessage | None:
        return next((one for one in self.chats[chat_id] if one.id == message_id), None)

    def _require_open(self, chat_id: int) -> None:
        if chat_id in self.moved:
            raise Refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=self.moved[chat_id],
            )
        if chat_id < 0:
            return
        person = self.people.get(chat_id)
        if person is None:
            raise Refused(400, "Bad Request: chat not found")
        if person.has_blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if not person.has_started:
            raise Refused(403, "Forbidden: bot can't initiate conversation with a user")

    def _spend(self, chat_id: int) -> None:
        gap_s = self.limits.chat_gap_s
        if not gap_s:
            return
        now = self.clock.monotonic()
        window_s = gap_s * self.limits.burst
        spent = self._spent[chat_id] = [at for at in self._spent[chat_id] if at > now - window_s]
        if len(spent) >= self.limits.burst:
            wait_s = max(1, round(spent[0] + window_s - now))
            raise Refused(429, f"Too Many Requests: retry after {wait_s}", retry_after=wait_s)
        spent.append(now)

    @staticmethod
    def _read(text: str, parse_mode: str) -> tuple[str, list[Json]]:
        plain, entities = text, []
        if parse_mode == "MarkdownV2":
            try:
                plain, found = parse_markdown(text)
            except MarkupError as error:
                raise Refused(400, f"Bad Request: can't parse entities: {error}") from None
            entities = [one.as_json() for one in found]
        elif parse_mode:
            raise Refused(400, "Bad Request: unsupported parse_mode")
        if not plain.strip():
            raise Refused(400, "Bad Request: message text is empty")
        if utf16(plain) > LONGEST_TEXT:
            raise Refused(400, "Bad Request: message is too long")
        return plain, entities

    def _happen(self, update: Json) -> None:
        self._updates.append({"update_id": next(self._update_numbers), **update})
        self._ring()

    def _ring(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _check_keyboard(keyboard: list[list[Json]]) -> None:
    for row in keyboard:
        for button in row:
            data, url = button.get("callback_data"), button.get("url")
            if url is None and not 1 <= len(str(data or "").encode()) <= LONGEST_DATA:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
            if url is not None and not str(url).startswith(("http://", "https://", "tg://")):
                raise Refused(400, "Bad Request: BUTTON_URL_INVALID")
            if url is not None and "." not in (urlsplit(str(url)).hostname or ""):
                raise Refused(400, f"Bad Request: inline keyboard button URL '{url}' is invalid: Wrong HTTP URL")
