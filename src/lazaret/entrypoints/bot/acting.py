"""Commands that change something: each records an intent or a wish through the same doors as the API."""

from datetime import timedelta

from lazaret.alerting.markdown import lines, text
from lazaret.alerting.words import duration
from lazaret.entrypoints.bot.conversation import Ask, Reply, command_line, duration_of
from lazaret.healing import requests
from lazaret.kernel.errors import Forbidden, InvalidInput, NotFound
from lazaret.kernel.i18n import LANGUAGES
from lazaret.operations.model import Operation
from lazaret.provisioning.requests import require_reinstallable
from lazaret.servers.store import get_server
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link

FLEET = "all"
"""What is written in place of a handle and means the whole fleet."""


async def provision(ask: Ask) -> Reply:
    """Set a server up again; data stays."""
    reason = " ".join(ask.words[1:])
    operation = await ask.office.desk.provision(ask.session, ask.handle(), ask.actor, at=ask.at, reason=reason[:200])
    return _recorded(ask, operation)


async def rebuild(ask: Ask) -> Reply:
    """A fresh system. All data goes, so the handle is asked for twice."""
    handle = ask.handle()
    await require_reinstallable(ask.session, handle)
    if ask.words[1:2] != [handle]:
        return Reply(
            lines(
                [
                    text(
                        "⚠️ " + ask.say("A rebuild installs a fresh system: ALL DATA on {handle} goes.", handle=handle)
                    ),
                    text(ask.say("To go on, write the handle twice:")),
                    command_line(f"/rebuild {handle} {handle}"),
                ]
            )
        )  # fmt: skip
    operation = await ask.office.desk.rebuild(
        ask.session, handle, ask.actor, at=ask.at, reason=" ".join(ask.words[2:])[:200]
    )
    return _recorded(ask, operation)


async def freeze(ask: Ask) -> Reply:
    """Stop all action on one server, or on the fleet: `/freeze HANDLE|all [4h] REASON`."""
    handle, length, reason = await _subject_length_reason(ask, "/freeze all")
    until = ask.at + length if length else None
    await requests.hold(ask.session, handle, ask.actor, at=ask.at, reason=reason, until=until)
    what = handle or ask.say("the fleet")
    how_long = duration(length.total_seconds(), ask.language) if length else ask.say("until somebody lifts it")
    return Reply(
        text("❄️ " + ask.say("Frozen: {what}, {how_long}. Nothing is done there.", what=what, how_long=how_long))
    )


async def unfreeze(ask: Ask) -> Reply:
    """End the holds on one server, or on the fleet: `/unfreeze HANDLE|all`."""
    handle = await _subject(ask, "/unfreeze all")
    ended, left = await requests.unfreeze(ask.session, handle, ask.actor, at=ask.at)
    n = len(ended)
    told = [ask.language.ngettext("{n} hold is lifted.", "{n} holds are lifted.", n).format(n=n)] if n else []
    if not ended and not left:
        told.append(ask.say("Nothing was frozen."))
    for hold in left:
        what, command = hold.server_handle or ask.say("the fleet"), f"/unfreeze {hold.server_handle or FLEET}"
        told.append(ask.say("Still frozen: {what}. End it: {command}", what=what, command=command))
    return Reply(lines(map(text, told)))


async def maintenance(ask: Ask) -> Reply:
    """A window in which nothing is judged or done: `/maintenance HANDLE|all 2h REASON`."""
    handle, length, reason = await _subject_length_reason(ask, "/maintenance all 2h")
    if length is None:
        raise InvalidInput(
            ask.say("For how long?"),
            hint=ask.say("Write it after the handle, for example: /maintenance vps-1 2h disk swap"),
        )
    window = await requests.plan_window(
        ask.session, handle, ask.actor, at=ask.at, starts_at=ask.at, ends_at=ask.at + length, reason=reason
    )
    what = handle or ask.say("the fleet")
    return Reply(
        text("🔧 " + ask.say("Maintenance of {what} until {end:%Y-%m-%d %H:%M} UTC.", what=what, end=window.ends_at))
    )


async def mute(ask: Ask) -> Reply:
    """Hear only what is critical for a while; this is for the one who asks alone."""
    word = ask.words[0] if ask.words else "1h"
    if word == "off":
        ask.person.muted_until = None
        return Reply(text("🔔 " + ask.say("You hear everything again.")))
    length = duration_of(word)
    if not length:
        raise InvalidInput(ask.say("That is no duration."), hint=ask.say("Write for example /mute 2h, or /mute off."))
    ask.person.muted_until = ask.at + min(length, timedelta(days=2))
    until = ask.person.muted_until
    return Reply(text("🔕 " + ask.say("Until {until:%Y-%m-%d %H:%M} UTC you hear only what is critical.", until=until)))


async def language(ask: Ask) -> Reply:
    """In which language the bot speaks to the one who asks."""
    word = ask.words[0].lower() if ask.words else ""
    if word not in LANGUAGES:
        raise InvalidInput(ask.say("Which language?"), hint=" ".join(f"/language {one}" for one in LANGUAGES))
    ask.person.language = word
    return Reply(text("👌"))


async def login(ask: Ask) -> Reply:
    """A link that signs the one who asks in to the dashboard, once, with the role that they have by then."""
    address = ask.office.settings.lazaret_public_url.rstrip("/")
    if not ask.is_private:
        raise Forbidden(ask.say("Others read along here."), hint=ask.say("Write /login to me in our own chat."))
    if not address:
        raise InvalidInput(
            ask.say("I do not know the address of the dashboard."),
            hint=ask.say("Set LAZARET_PUBLIC_URL and try again."),
        )
    secret = await create_login_link(
        ask.session, ask.actor.name, Role(ask.person.role or Role.VIEWER), ask.actor, at=ask.at, user_id=ask.person.id
    )
    url = f"{address}/sign-in/{secret.get_secret_value()}"
    return Reply(
        lines([text(ask.say("This link signs you in, once, within ten minutes. Show it to nobody.")), text(url)])
    )


async def _subject_length_reason(ask: Ask, of_fleet: str) -> tuple[str | None, timedelta | None, str]:
    """`HANDLE|all [DURATION] REASON`, in that order. Raises as `_subject` does, and for a time that ends at once."""
    handle = await _subject(ask, of_fleet)
    words = ask.words[1:]
    length = duration_of(words[0].removeprefix("-")) if words else None
    if length is not None:
        if not length or words[0].startswith("-"):  # taken for a reason, or for none, it would mean: without end
            raise InvalidInput(ask.say("That is no duration."), hint=ask.say("Write for example 30m, 4h or 2d."))
        words.pop(0)
    return handle, length, " ".join(words) or ask.say("asked for in Telegram")


async def _subject(ask: Ask, of_fleet: str) -> str | None:
    """The first word: a handle, or `all` for the fleet (None). Raises `InvalidInput`, `NotFound`.

    Nobody means the fleet by leaving something out: a handle that was forgotten, or lost its hyphen, is asked for.
    `of_fleet` is the command to write for the fleet.
    """
    word = ask.words[0] if ask.words else ""
    if word == FLEET:
        return None
    hint = ask.say(
        "Write its handle after the command; /servers lists them. For the whole fleet: {command}", command=of_fleet
    )
    if not word or duration_of(word) is not None:
        raise InvalidInput(ask.say("Which server?"), hint=hint)
    try:
        return (await get_server(ask.session, word)).handle
    except NotFound as error:
        raise NotFound(error.message, hint=hint) from None


def _recorded(ask: Ask, operation: Operation) -> Reply:
    said = ask.say(
        "Operation {id} of {handle} is recorded. It will be told here how it ends.",
        id=operation.id,
        handle=operation.server_handle,
    )
    return Reply(text(f"👌 {said}"))
