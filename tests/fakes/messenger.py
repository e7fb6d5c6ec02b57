"""A messenger in memory: chats with their messages, and every refusal that the real one knows."""

from dataclasses import dataclass, field

from lazaret.alerting.markdown import fitting
from lazaret.alerting.messenger import ChatGone, ChatMoved, Keyboard, MessageGone, MessengerAway, TooFast


@dataclass
class SentMessage:
    """One message as its chat shows it."""

    id: int
    chat_id: int
    text: str
    markdown: str
    keyboard: Keyboard
    is_silent: bool
    at: float = 0.0
    edits: list[str] = field(default_factory=list)

    def labels(self) -> list[str]:
        return [button.label for row in self.keyboard for button in row]


@dataclass
class FakeMessenger:
    """Fulfils `alerting.messenger.Messenger`."""

    messages: list[SentMessage] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    moved: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    is_away: bool = False
    asks_to_wait_s: float = 0.0
    calls: int = 0

    async def send(
        self, chat_id: int, text: str, *, plain: str, keyboard: Keyboard = (), is_silent: bool = False
    ) -> int:
        self._refuse(chat_id)
        message = SentMessage(len(self.messages) + 1, chat_id, fitting(plain), text, keyboard, is_silent)
        self.messages.append(message)
        return message.id

    async def edit(self, chat_id: int, message_id: int, text: str, *, plain: str, keyboard: Keyboard = ()) -> None:
        self._refuse(chat_id)
        found = next((one for one in self.messages if (one.id, one.chat_id) == (message_id, chat_id)), None)
        if found is None or message_id in self.deleted:
            raise MessageGone("The message does not exist any more.")
        found.edits.append(plain)
        found.text, found.markdown, found.keyboard = plain, text, keyboard

    def _refuse(self, chat_id: int) -> None:
        self.calls += 1
        if self.is_away:
            raise MessengerAway("The messenger does not answer.")
        if self.asks_to_wait_s:
            wait_s, self.asks_to_wait_s = self.asks_to_wait_s, 0.0
            raise TooFast(wait_s)
        if chat_id in self.moved:
            raise ChatMoved(self.moved[chat_id])
        if chat_id in self.gone:
            raise ChatGone("The bot was blocked by the user.")
