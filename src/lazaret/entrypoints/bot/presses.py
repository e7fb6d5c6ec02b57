"""Buttons: each is proved to be ours and this person's, then acts through the same doors as the API."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from lazaret.alerting.callbacks import Act
from lazaret.alerting.deliveries import card_of
from lazaret.entrypoints.bot import reading
from lazaret.entrypoints.bot.conversation import Ask, Reply, may
from lazaret.healing.model import Decision
from lazaret.healing.requests import Infirmary
from lazaret.incidents import store as incidents
from lazaret.kernel.errors import Conflict, Forbidden
from lazaret.users.model import Role


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a press brings: a small note, and perhaps a new message or a new text for the old one."""

    note: str = ""
    reply: Reply | None = None
    replaces: bool = False
    """The reply takes the place of the message under which the button stood."""


@dataclass(frozen=True, slots=True)
class PressHandler:
    """One kind of button."""

    role: Role
    run: Callable[[Ask, str], Awaitable[Pressed]]


async def _acknowledge(ask: Ask, subject: str) -> Pressed:
    incident = await incidents.acknowledge(ask.session, int(subject), ask.actor, at=ask.at)
    if incident.acknowledged_by != str(ask.actor):
        return Pressed(ask.say("{name} did already.", name=incident.acknowledged_by))
    return Pressed(ask.say("Acknowledged."))


def _snooze(length: timedelta) -> Callable[[Ask, str], Awaitable[Pressed]]:
    async def snooze(ask: Ask, subject: str) -> Pressed:
        card = await card_of(ask.session, ask.person.id, int(subject))
        if card is None:
            raise Conflict(ask.say("This incident was not told to you by a message of its own."))
        card.snoozed_until = ask.at + length
        return Pressed(ask.say("You are reminded at {at:%H:%M} UTC if it is still open.", at=card.snoozed_until))

    return snooze


def _decide(decision: Decision) -> Callable[[Ask, str], Awaitable[Pressed]]:
    async def decide(ask: Ask, subject: str) -> Pressed:
        approval = await Infirmary(ask.office.intents).decide(ask.session, int(subject), decision, ask.actor, at=ask.at)
        return Pressed(ask.say("Approved.") if approval.decision == Decision.APPROVED else ask.say("Denied."))

    return decide


async def _why(ask: Ask, subject: str) -> Pressed:
    return Pressed(reply=await reading.why_about(ask, subject))


async def _page(ask: Ask, subject: str) -> Pressed:
    name, _, number = subject.partition(".")
    if name != "servers":
        raise Conflict(ask.say("There is no such list."))
    return Pressed(reply=await reading.servers(replace(ask, words=[number])), replaces=True)


PRESSES: Mapping[Act, PressHandler] = {
    Act.ACKNOWLEDGE: PressHandler(Role.OPERATOR, _acknowledge),
    Act.SNOOZE_1H: PressHandler(Role.VIEWER, _snooze(timedelta(hours=1))),
    Act.SNOOZE_4H: PressHandler(Role.VIEWER, _snooze(timedelta(hours=4))),
    Act.APPROVE: PressHandler(Role.OPERATOR, _decide(Decision.APPROVED)),
    Act.DENY: PressHandler(Role.OPERATOR, _decide(Decision.DENIED)),
    Act.WHY: PressHandler(Role.VIEWER, _why),
    Act.PAGE: PressHandler(Role.VIEWER, _page),
}


async def press(ask: Ask, data: str) -> Pressed:
    """Do what the button says. Raises errors of ours."""
    found = ask.buttons.signer.read(data, user=ask.person.telegram_id, at=ask.at)
    handler = PRESSES[found.act]
    if not may(ask.person, handler.role):
        raise Forbidden(
            ask.say("You may not do this: it needs the role {role}.", role=handler.role.value),
            hint=ask.say("Ask an administrator."),
        )
    return await handler.run(ask, found.subject)
