"""Commands that change something: each records an intent or a wish through the same doors as the API."""

from datetime import timedelta

from lazaret.alerting.markdown import lines, text
from lazaret.alerting.words import duration
from lazaret.entrypoints.bot.conversation import Ask, Reply, command_line, duration_of
from lazaret.healing import requests
from lazaret.kernel.errors import Forbidden, InvalidInput
from lazaret.kernel.i18n import LANGUAGES
from lazaret.operations.model import Operation
from lazaret.provisioning.requests import require_reinstallable
from lazaret.servers.store import get_server
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link


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
    """Stop all action on the fleet, or on one server: `/freeze [HANDLE] [4h] REASON`."""
    handle, length, reason = await _subject_length_reason(ask)
    until = ask.at + length if length else None
    await requests.hold(ask.session, handle, ask.actor, at=ask.at, reason=reason, until=until)
    what = handle or ask.say("the fleet")
    how_long = duration(length.total_seconds(), ask.language) if length else ask.say("until somebody lifts it")
    return Reply(
        text("❄️ " + ask.say("Frozen: {what}, {how_long}. Nothing is done there.", what=what, how_long=how_long))
    )


async def unfreeze(ask: Ask) -> Reply:
    """End the holds on the fleet, or on one server."""
    handle = ask.words[0] if ask.words else None
    ended, left = await requests.unfreeze(ask.session, handle, ask.actor, at=ask.at)
    n = len(ended)
    told = [ask.language.ngettext("{n} hold is lifted.", "{n} holds are lifted.", n).format(n=n)] if n else []
    if not ended and not left:
        told.append(ask.say("Nothing was frozen."))
    for hold in left:
        what, command = hold.server_handle or ask.say("the fleet"), f"/unfreeze {hold.server_handle or ''}".rstrip()
        told.append(ask.say("Still frozen: {what}. End it: {command}", what=what, command=command))
    return Reply(lines(map(text, told)))


async def maintenance(ask: Ask) -> Reply:
    """A window in which nothing is judged or done: `/maintenance HANDLE|all 2h REASON`."""
    ask.handle()
    handle, length, reason = await _subject_length_reason(ask)
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


async def _subject_length_reason(ask: Ask) -> tuple[str | None, timedelta | None, str]:
    """`[HANDLE|all] [DURATION] REASON`, in that order; a first word that is neither belongs to the reason."""
    words = list(ask.words)
    handle: str | None = None
    if words and words[0] == "all":
        words.pop(0)
    elif words and duration_of(words[0]) is None and "-" in words[0] and any(char.isdigit() for char in words[0]):
        handle = (await get_server(ask.session, words.pop(0))).handle
    length = duration_of(words[0]) if words else None
    if length is not None:
        words.pop(0)
    return handle, length, " ".join(words) or ask.say("asked for in Telegram")


def _recorded(ask: Ask, operation: Operation) -> Reply:
    said = ask.say(
        "Operation {id} of {handle} is recorded. It will be told here how it ends.",
        id=operation.id,
        handle=operation.server_handle,
    )
    return Reply(text(f"👌 {said}"))
