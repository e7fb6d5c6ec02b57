"""What a command or a button gets and gives: who asks in which language, and what is answered."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from gettext import NullTranslations

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.keyboards import Buttons
from lazaret.alerting.markdown import Rich, code, lines, text
from lazaret.alerting.messenger import Keyboard
from lazaret.alerting.words import sentence_in
from lazaret.entrypoints.office import Office
from lazaret.kernel.audit import Actor, Channel
from lazaret.kernel.errors import InvalidInput, LazaretError
from lazaret.users.model import Role, User

UNITS = {"m": 60, "h": 3600, "d": 86400}
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the bot writes back."""

    text: Rich
    keyboard: Keyboard = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """One command, inside one transaction."""

    office: Office
    session: AsyncSession
    person: User
    words: list[str]
    """What stands after the command."""
    language: NullTranslations
    buttons: Buttons
    at: datetime
    is_private: bool = True
    """Nobody else reads the answer."""

    @property
    def actor(self) -> Actor:
        """The person, for the audit log."""
        return actor_of(self.person)

    def say(self, message: str, **values: object) -> str:
        """A text in the person's language, with its values."""
        said = self.language.gettext(message)
        return said.format(**values) if values else said

    def handle(self) -> str:
        """The first word, which names a server. Raises `InvalidInput`."""
        if not self.words:
            raise InvalidInput(
                self.say("Which server?"), hint=self.say("Write its handle after the command; /servers lists them.")
            )
        return self.words[0]


Handler = Callable[[Ask], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the bot's."""

    role: Role | None
    """Who may; None: everybody, strangers too."""
    about: str
    run: Handler
    usage: str = ""


def actor_of(person: User) -> Actor:
    """A person as the audit log names them."""
    return Actor(person.username or person.first_name or str(person.telegram_id), Channel.TELEGRAM)


def role_of(person: User) -> Role | None:
    """What this person may; None: nothing."""
    return Role(person.role) if person.role else None


def may(person: User, role: Role | None) -> bool:
    """Whether this person may what needs `role`."""
    own = role_of(person)
    return role is None or (own is not None and own.includes(role))


def refusal(error: LazaretError, language: NullTranslations) -> Reply:
    """An error as people read it: what is wrong, and what to do."""
    parts = [text(f"⛔ {sentence_in(error.message, language)}")]
    if error.hint:
        parts.append(text(sentence_in(error.hint, language)))
    return Reply(lines(parts))


def duration_of(word: str) -> timedelta | None:
    """`30m`, `4h`, `2d`; None for what is no duration."""
    if len(word) < 2 or word[-1] not in UNITS or not word[:-1].isdecimal() or not word.isascii():
        return None
    return min(timedelta(seconds=int(word[:-1][:9]) * UNITS[word[-1]]), LONGEST)


def command_line(command: str) -> Rich:
    """A command to be copied with one touch."""
    return code(command)
