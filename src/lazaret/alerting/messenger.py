"""What the alerting room needs of a messenger, as a Protocol. `adapters/telegram` fulfils it."""

from dataclasses import dataclass
from typing import Protocol

from lazaret.kernel.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message: pressing it sends `data` back (1 to 64 bytes), or opens `url`. One of both is set."""

    label: str
    data: str = ""
    url: str = ""


Keyboard = tuple[tuple[Button, ...], ...]
"""Rows of buttons."""


class MessengerError(Unavailable):
    """A message could not be delivered."""

    code = "messenger_failed"


class MessengerAway(MessengerError):
    """No answer, or a server error: try again later. Whether the message arrived may be unknown."""

    code = "messenger_away"


class TooFast(MessengerError):
    """The messenger asks for a pause (flood control)."""

    code = "messenger_too_fast"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"The messenger asks for a pause of {retry_after_s:g} s.")
        self.retry_after_s = retry_after_s


class ChatGone(MessengerError):
    """The person blocked the bot, never started it, or the chat does not exist (any more)."""

    code = "chat_gone"


class ChatMoved(MessengerError):
    """A group became a supergroup: from now on it has another id."""

    code = "chat_moved"

    def __init__(self, chat_id: int) -> None:
        super().__init__(f"The chat has the id {chat_id} now.")
        self.chat_id = chat_id


class MessageGone(MessengerError):
    """The message to be edited does not exist any more, or may no longer be edited."""

    code = "message_gone"


class MessageRefused(MessengerError):
    """The messenger does not take this message in any form; the next one may be fine."""

    code = "message_refused"


class TokenRefused(MessengerError):
    """The messenger does not accept our token: nothing can be sent until somebody sets a right one."""

    code = "messenger_token_refused"


class Messenger(Protocol):
    """Sends and edits. Texts are MarkdownV2; where the messenger refuses the markup, the same text goes out plain.

    Raises the errors above, and no other. A text that changes nothing on an edit is no error.
    """

    async def send(
        self, chat_id: int, text: str, *, plain: str, keyboard: Keyboard = (), is_silent: bool = False
    ) -> int:
        """Send a new message, return its id in the chat. `plain` is the text without markup."""
        ...

    async def edit(self, chat_id: int, message_id: int, text: str, *, plain: str, keyboard: Keyboard = ()) -> None:
        """Replace text and buttons of a message."""
        ...
