"""`alerting.messenger.Messenger` over the Bot API."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions
from telegram.constants import ParseMode
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
)

from lazaret.alerting.markdown import fitting
from lazaret.alerting.messenger import (
    ChatGone,
    ChatMoved,
    Keyboard,
    MessageGone,
    MessageRefused,
    MessengerAway,
    TokenRefused,
    TooFast,
)

Answer = TypeVar("Answer")
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
_GONE_CHAT = ("chat not found", "user is deactivated", "peer_id_invalid", "have no rights", "not enough rights")
_GONE_MESSAGE = ("message to edit not found", "message can't be edited", "message_id_invalid")
_UNCHANGED = "message is not modified"


async def send_telegram_message(
    bot: Bot, telegram_id: int, text: str, *, mode: str | None = None, keyboard: Keyboard = (), is_silent: bool = False
) -> int:
    """Send one message as it is, return its id. Raises the library's errors."""
    message = await bot.send_message(
        telegram_id,
        text,
        parse_mode=mode,
        reply_markup=_markup(keyboard),
        disable_notification=is_silent,
        link_preview_options=NO_PREVIEW,
    )
    return message.message_id


class TelegramMessenger:
    """Sends and edits. What Telegram refuses as markup, or with its buttons, goes out as plain text without them."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def send(
        self, chat_id: int, text: str, *, plain: str, keyboard: Keyboard = (), is_silent: bool = False
    ) -> int:
        async def attempt(content: str, mode: str | None, buttons: Keyboard) -> int:
            return await send_telegram_message(
                self._bot, chat_id, content, mode=mode, keyboard=buttons, is_silent=is_silent
            )

        return await _with_fallback(attempt, text, plain, keyboard)

    async def edit(self, chat_id: int, message_id: int, text: str, *, plain: str, keyboard: Keyboard = ()) -> None:
        async def attempt(content: str, mode: str | None, buttons: Keyboard) -> None:
            try:
                await self._bot.edit_message_text(
                    content,
                    chat_id=chat_id,
                    message_id=message_id,
                    parse_mode=mode,
                    reply_markup=_markup(buttons),
                    link_preview_options=NO_PREVIEW,
                )
            except BadRequest as error:
                if _UNCHANGED not in error.message.lower():
                    raise

        await _with_fallback(attempt, text, plain, keyboard)


async def _with_fallback(
    attempt: Callable[[str, str | None, Keyboard], Awaitable[Answer]], text: str, plain: str, keyboard: Keyboard
) -> Answer:
    """With markup, else plain; either time with all buttons, else with those that carry no address; else with none.

    Telegram refuses a whole message for an address that it does not like, such as one at localhost.
    """
    short = fitting(plain)
    texts: list[tuple[str, str | None]] = [(short, None)]
    if short == plain:
        texts.insert(0, (text, ParseMode.MARKDOWN_V2))
    signed = tuple(row for row in (tuple(one for one in row if not one.url) for row in keyboard) if row)
    keyboards = [keyboard] if signed == keyboard else [keyboard, signed]
    ways: list[tuple[str, str | None, Keyboard]] = [(*said, buttons) for said in texts for buttons in keyboards]
    refused = ""
    for way in [*ways, *([] if (short, None, ()) in ways else [(short, None, ())])]:
        try:
            return await attempt(*way)
        except BadRequest as error:
            if (known := _known_refusal(error)) is not None:
                raise known from None
            refused = error.message
        except TelegramError as error:
            raise _as_ours(error) from None
    raise MessageRefused(f"Telegram does not take the message: {refused}")


def _markup(keyboard: Keyboard) -> InlineKeyboardMarkup | None:
    if not keyboard:
        return None
    return InlineKeyboardMarkup(
        [
            [
                InlineKeyboardButton(button.label, url=button.url)
                if button.url
                else InlineKeyboardButton(button.label, callback_data=button.data)
                for button in row
            ]
            for row in keyboard
        ]
    )


def _known_refusal(error: BadRequest) -> ChatGone | MessageGone | None:
    said = error.message.lower()
    if any(text in said for text in _GONE_CHAT):
        return ChatGone(f"Telegram says: {error.message}.")
    if any(text in said for text in _GONE_MESSAGE):
        return MessageGone(f"Telegram says: {error.message}.")
    return None


def _as_ours(error: TelegramError) -> Exception:
    """Which of our errors one of the library's is. No text of it holds the token."""
    match error:
        case RetryAfter():
            wait = error.retry_after
            return TooFast(wait.total_seconds() if isinstance(wait, timedelta) else float(wait))
        case Forbidden():
            return ChatGone(f"Telegram says: {error.message}.")
        case ChatMigrated():
            return ChatMoved(error.new_chat_id)
        case InvalidToken():
            return TokenRefused(
                "Telegram does not accept the bot's token.", hint="Set TELEGRAM_BOT_TOKEN to the one from @BotFather."
            )
        case NetworkError():
            return MessengerAway(f"Telegram does not answer: {type(error).__name__}.")
    return MessengerAway(f"Telegram failed: {type(error).__name__}.")
