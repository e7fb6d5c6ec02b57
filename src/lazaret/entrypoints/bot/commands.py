"""Every command, who may use it, and what it is for. What is not here does not exist."""

from collections.abc import Mapping

from lazaret.alerting.markdown import bold, code, lines, text
from lazaret.entrypoints.bot import acting, reading
from lazaret.entrypoints.bot.conversation import Ask, Command, Reply, may, role_of
from lazaret.kernel.i18n import mark
from lazaret.users.model import Role


async def start(ask: Ask) -> Reply:
    """Who the bot is, and what the one who asks may do."""
    role = role_of(ask.person)
    if role is None:
        return stranger(ask)
    name = ask.person.first_name or ask.person.username or str(ask.person.telegram_id)
    hello = ask.say("Hello, {name}. I watch your servers; you are {role} here.", name=name, role=role.value)
    return Reply(lines([text(hello), *_help_lines(ask)]))


async def show_help(ask: Ask) -> Reply:
    """What the one who asks may do."""
    return Reply(lines([bold(ask.say("What you can ask")), *_help_lines(ask)]))


def stranger(ask: Ask) -> Reply:
    """A polite refusal that says how to be let in."""
    said = ask.say(
        "I do not know you, so I can tell you nothing. Your number is {id}: give it to an administrator.",
        id=ask.person.telegram_id,
    )
    return Reply(text(said))


COMMANDS: Mapping[str, Command] = {
    "start": Command(None, mark("say hello"), start),
    "help": Command(Role.VIEWER, mark("what you can ask"), show_help),
    "status": Command(Role.VIEWER, mark("the fleet in a few lines"), reading.status),
    "servers": Command(Role.VIEWER, mark("all servers"), reading.servers),
    "server": Command(Role.VIEWER, mark("one server"), reading.server, "HANDLE"),
    "incidents": Command(Role.VIEWER, mark("what is open"), reading.incidents),
    "operations": Command(Role.VIEWER, mark("what is at work"), reading.operations),
    "deployments": Command(Role.VIEWER, mark("what runs where"), reading.deployments),
    "why": Command(Role.VIEWER, mark("why something is, or is not, done"), reading.why, "HANDLE"),
    "provision": Command(Role.OPERATOR, mark("set a server up again; data stays"), acting.provision, "HANDLE"),
    "rebuild": Command(Role.OPERATOR, mark("a fresh system; ALL DATA goes"), acting.rebuild, "HANDLE"),
    "maintenance": Command(Role.OPERATOR, mark("a time without judgement"), acting.maintenance, "HANDLE|all 2h WHY"),
    "freeze": Command(Role.OPERATOR, mark("stop all action"), acting.freeze, "HANDLE|all [4h] WHY"),
    "unfreeze": Command(Role.OPERATOR, mark("end a freeze"), acting.unfreeze, "HANDLE|all"),
    "mute": Command(Role.VIEWER, mark("hear only what is critical"), acting.mute, "2h"),
    "login": Command(Role.VIEWER, mark("a link to the dashboard"), acting.login),
    "language": Command(Role.VIEWER, mark("English or Russian"), acting.language, "en|ru"),
}


def _help_lines(ask: Ask) -> list:  # type: ignore[type-arg]
    return [
        code(f"/{name} {command.usage}".strip()) + text(f" – {ask.say(command.about)}")
        for name, command in COMMANDS.items()
        if may(ask.person, command.role) and name != "start"
    ]
