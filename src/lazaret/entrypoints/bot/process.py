"""`lazaret bot`: answers people in Telegram, and sends what is owed. It records intents; it changes no machine."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from telegram import BotCommand, Update
from telegram.constants import ChatType
from telegram.error import InvalidToken, TelegramError
from telegram.ext import Application, ApplicationBuilder, ApplicationHandlerStop, ContextTypes, TypeHandler

from lazaret.adapters.telegram import TelegramMessenger
from lazaret.alerting.callbacks import Signer
from lazaret.alerting.keyboards import Buttons
from lazaret.alerting.markdown import text
from lazaret.alerting.messenger import MessengerError
from lazaret.alerting.notifier import Manners, Notifier
from lazaret.alerting.quiet import quiet_hours
from lazaret.alerting.telling import Question, Teller, language_of
from lazaret.entrypoints.bot.absence import Absence
from lazaret.entrypoints.bot.commands import COMMANDS, stranger
from lazaret.entrypoints.bot.conversation import Ask, Reply, may, refusal, role_of
from lazaret.entrypoints.bot.presses import Pressed, press
from lazaret.entrypoints.bot.webhook import updates_by_webhook
from lazaret.entrypoints.office import Office
from lazaret.healing.requests import DECIDED
from lazaret.healing.store import approvals_by_id
from lazaret.kernel.correlation import bound
from lazaret.kernel.errors import LazaretError, Misconfigured
from lazaret.kernel.i18n import LANGUAGES, mark, translator
from lazaret.kernel.leadership import try_lead
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loops import every, restarting
from lazaret.kernel.secrets import load_or_create_key
from lazaret.kernel.settings import Settings
from lazaret.users.model import User
from lazaret.users.store import name_first_admins, register_or_update_user

logger = get_logger(__name__)

PASS_S = 1.0
FOLLOWER_S = 5.0
"""A bot that does not lead asks again so often whether it may."""
REFUSED_S = 60.0
"""So long Telegram is left alone after it refused our token."""
STRANGER_REST = timedelta(minutes=10)
"""A stranger is answered once in this time."""
STRANGER_GAP = timedelta(seconds=1)
"""What a stranger sends faster than this is not even looked at."""
MOST_STRANGERS = 10_000
TOLD_BY_US = ("telegram.request", "telegram.ext.Updater")
"""Loggers of the library that tell each failure to reach Telegram with its traceback."""
App = Application[Any, Any, Any, Any, Any, Any]


async def run_bot(office: Office) -> None:
    """Answer and send until cancelled. Raises `Misconfigured` without a token."""
    if office.settings.telegram_bot_token is None:
        raise Misconfigured("There is no bot token.", hint="Set TELEGRAM_BOT_TOKEN to the one from @BotFather.")
    await _name_admins(office)
    async with asyncio.TaskGroup() as group:
        for part, run in (("bot", _converse), ("notifier", _notify)):
            speak = partial(_speaking, office, run, Absence(part, office.clock))
            group.create_task(restarting(part, speak, office.clock, pause_s=FOLLOWER_S))


async def _speaking(office: Office, run: Callable[[Office, Absence], Awaitable[None]], absence: Absence) -> None:
    """One part of the bot, until Telegram is away or refuses us: then a pause, and the loop begins it again."""
    try:
        await run(office, absence)
    except InvalidToken:
        logger.error("bot.token_refused", part=absence.part, hint="Set TELEGRAM_BOT_TOKEN to the one from @BotFather.")
        await office.clock.sleep(REFUSED_S)
    except TelegramError as error:
        await office.clock.sleep(absence.note(error))


async def _name_admins(office: Office) -> None:
    async with office.db.transaction() as session:
        await name_first_admins(session, office.settings.telegram_admin_ids, at=office.clock.now())


async def _notify(office: Office, absence: Absence) -> None:
    """Send what is owed, if no other process does."""
    app = build_application(office)
    async with try_lead(office.conninfo, "notifier") as leading:
        if not leading:
            return
        async with app.bot:
            absence.ends()
            notifier = notifier_of(office, TelegramMessenger(app.bot))
            await every(PASS_S, "notifier.pass", notifier.run_pass, office.clock)


async def _converse(office: Office, absence: Absence) -> None:
    """Take updates, if no other process does: Telegram lets only one."""
    async with try_lead(office.conninfo, "bot") as leading:
        if not leading:
            return
        app = build_application(office)
        desk = FrontDesk(office, TelegramMessenger(app.bot), signer_of(office))
        app.add_handler(TypeHandler(Update, desk.take))
        app.add_error_handler(_log)
        async with app:
            await _introduce(app)
            await app.start()
            try:
                async with _updates(app, office.settings, absence):
                    absence.ends()
                    logger.info("bot.answers", username=app.bot.username)
                    await asyncio.Event().wait()
            finally:
                await app.stop()


def build_application(office: Office) -> App:
    """The library's application, at the configured address. The token is in no log of ours."""
    settings = office.settings
    assert settings.telegram_bot_token is not None
    for name in TOLD_BY_US:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return (
        ApplicationBuilder()
        .token(settings.telegram_bot_token.get_secret_value())
        .base_url(f"{settings.telegram_api_base_url.rstrip('/')}/bot")
        .concurrent_updates(8)
        .build()
    )


@asynccontextmanager
async def _updates(app: App, settings: Settings, absence: Absence) -> AsyncIterator[None]:
    """Updates come in while the block runs."""
    allowed = [Update.MESSAGE, Update.CALLBACK_QUERY]
    if settings.telegram_webhook_url:
        async with updates_by_webhook(app, settings, allowed):
            yield
        return
    assert app.updater is not None

    def away(error: TelegramError) -> None:
        absence.note(error)  # the library makes the pauses itself, and would log each with its traceback

    await app.updater.start_polling(allowed_updates=allowed, timeout=10, error_callback=away)
    try:
        yield
    finally:
        await app.updater.stop()


async def _introduce(app: App) -> None:
    """The menu of commands, in each language."""
    for language in LANGUAGES:
        words = translator(language)
        menu = [BotCommand(name, words.gettext(one.about)[:256]) for name, one in COMMANDS.items()]
        await app.bot.set_my_commands(menu, language_code=None if language == LANGUAGES[0] else language)


async def _log(_: object, context: ContextTypes.DEFAULT_TYPE) -> None:
    logger.warning("bot.update_failed", error=type(context.error).__name__)


def signer_of(office: Office) -> Signer:
    """Signs the buttons of this installation."""
    return Signer(load_or_create_key(office.settings.lazaret_secret_key, office.settings.lazaret_data_dir))


def notifier_of(office: Office, messenger: TelegramMessenger) -> Notifier:
    """The sender, as configured."""
    settings = office.settings
    manners = Manners(
        per_hour=settings.notification_rate_limit,
        quiet=quiet_hours(settings.lazaret_quiet_hours, settings.lazaret_time_zone),
        escalate_after_s=settings.lazaret_escalate_after,
    )
    teller = Teller(signer_of(office), questions_of, settings.lazaret_public_url.rstrip("/"))
    return Notifier(office.db, office.clock, messenger, teller, manners)


async def questions_of(session: AsyncSession, ids: Collection[int]) -> Mapping[int, Question]:
    """What became of the approvals."""
    found = {}
    for row in await approvals_by_id(session, ids):
        if row.decision is None:
            found[row.id] = Question(is_open=True)
            continue
        values = {"remedy": row.remedy, "actor": row.decided_by or "", "note": row.note}
        template = next((text for decision, text in DECIDED.items() if decision == row.decision), EXPIRED)
        found[row.id] = Question(is_open=False, answer=template, values=values)
    return found


EXPIRED = mark("nobody approved {remedy} in time")


@dataclass
class FrontDesk:
    """Takes every update: registers the person first, then answers."""

    office: Office
    messenger: TelegramMessenger
    signer: Signer
    _strangers: OrderedDict[int, tuple[datetime, datetime]] = field(default_factory=OrderedDict)
    """When each was looked at, and when answered, for the last time."""

    async def take(self, update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        """One update. Nothing that it holds can end the bot."""
        if update.effective_user is None or update.effective_user.is_bot or self._is_tiring(update):
            raise ApplicationHandlerStop
        try:
            with bound(request_id=f"telegram-{update.update_id}"):
                if update.callback_query is not None:
                    await self._pressed(update)
                elif update.message is not None and update.message.text:
                    await self._asked(update)
        except MessengerError as error:
            logger.warning("bot.answer_not_sent", error=str(error))

    def _is_tiring(self, update: Update) -> bool:
        """A stranger who writes again and again costs nothing: no row, no answer."""
        assert update.effective_user is not None
        looked_at, _ = self._strangers.get(update.effective_user.id, (None, None))
        return looked_at is not None and looked_at > self.office.clock.now() - STRANGER_GAP

    async def _asked(self, update: Update) -> None:
        message, chat = update.message, update.effective_chat
        assert message is not None
        assert message.text is not None
        assert chat is not None
        first, *words = _plain(message.text).split()[:60] or [""]
        if not first.startswith("/") and chat.type != ChatType.PRIVATE:
            return  # people talk to each other
        name = first.removeprefix("/").split("@")[0].lower() if first.startswith("/") else "help"
        async with self.office.db.transaction() as session:
            ask = await self._ask(session, update, words)
        reply = await self._answer(update, name, words, ask)
        if reply is not None:
            await self.messenger.send(
                chat.id, reply.text.markdown, plain=reply.text.plain, keyboard=reply.keyboard, is_silent=True
            )

    async def _answer(self, update: Update, name: str, words: list[str], first: Ask) -> Reply | None:
        command = COMMANDS.get(name)
        if role_of(first.person) is None:
            return stranger(first) if self._may_answer_stranger(first.person, first.at) else None
        if command is None:
            said = first.say("I do not know the command /{name}. /help tells what you can ask.", name=name[:32])
            return Reply(text(said))
        if not may(first.person, command.role):
            assert command.role is not None
            said = first.say("You may not do this: it needs the role {role}.", role=command.role.value)
            return Reply(text(f"⛔ {said}"))
        try:
            async with self.office.db.transaction() as session:
                return await command.run(await self._ask(session, update, words))
        except LazaretError as error:
            return refusal(error, first.language)
        except Exception:
            logger.exception("bot.command_failed", command=name)
            return Reply(text(first.say("That failed for a reason of mine. The log tells which.")))

    async def _pressed(self, update: Update) -> None:
        query = update.callback_query
        assert query is not None
        pressed = Pressed()
        async with self.office.db.transaction() as session:
            first = await self._ask(session, update, [])
        if role_of(first.person) is None:
            self._may_answer_stranger(first.person, first.at)
            pressed = Pressed(stranger(first).text.plain)
        else:
            try:
                async with self.office.db.transaction() as session:
                    pressed = await press(await self._ask(session, update, []), query.data or "")
            except LazaretError as error:
                pressed = Pressed(refusal(error, first.language).text.plain)
            except Exception:
                logger.exception("bot.press_failed")
                pressed = Pressed(first.say("That failed for a reason of mine. The log tells which."))
        try:
            await query.answer(pressed.note[:200] or None, show_alert=len(pressed.note) > 60)
        except TelegramError as error:  # too old: what was pressed is done all the same
            logger.info("bot.press_not_answered", error=type(error).__name__)
        await self._show(update, pressed)

    async def _show(self, update: Update, pressed: Pressed) -> None:
        reply, message, chat = pressed.reply, update.effective_message, update.effective_chat
        if reply is None or chat is None:
            return
        said = {"plain": reply.text.plain, "keyboard": reply.keyboard}
        if pressed.replaces and message is not None:
            await self.messenger.edit(chat.id, message.message_id, reply.text.markdown, **said)  # type: ignore[arg-type]
        else:
            await self.messenger.send(chat.id, reply.text.markdown, is_silent=True, **said)  # type: ignore[arg-type]

    async def _ask(self, session: AsyncSession, update: Update, words: list[str]) -> Ask:
        """Who asks, registered or brought up to date before anything else."""
        user = update.effective_user
        assert user is not None
        now = self.office.clock.now()
        person = await register_or_update_user(
            session,
            telegram_id=user.id,
            username=_plain(user.username) or None,
            first_name=_plain(user.first_name) or None,
            last_name=_plain(user.last_name) or None,
            language_code=user.language_code,
            first_admins=self.office.settings.telegram_admin_ids,
            at=now,
        )
        language = translator(language_of(person))
        buttons = Buttons(self.signer, user.id, language, now, self.office.settings.lazaret_public_url.rstrip("/"))
        is_private = update.effective_chat is not None and update.effective_chat.type == ChatType.PRIVATE
        return Ask(self.office, session, person, words, language, buttons, now, is_private)

    def _may_answer_stranger(self, person: User, at: datetime) -> bool:
        _, answered_at = self._strangers.pop(person.telegram_id, (at, at - STRANGER_REST))
        may_answer = answered_at <= at - STRANGER_REST
        self._strangers[person.telegram_id] = (at, at if may_answer else answered_at)
        while len(self._strangers) > MOST_STRANGERS:
            self._strangers.popitem(last=False)
        if may_answer:
            logger.info("bot.stranger", telegram_id=person.telegram_id)
        return may_answer


def _plain(text: str | None) -> str:
    """What the tables can hold: no NUL, no half of a character."""
    return (text or "").replace("\x00", "").encode("utf-8", "ignore").decode()
