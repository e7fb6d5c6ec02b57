"""Commands that only look."""

from collections import Counter

from sqlalchemy import func, select

from lazaret.alerting.cards import incident_card
from lazaret.alerting.facts import facts_of
from lazaret.alerting.markdown import Rich, bold, code, lines, text
from lazaret.alerting.words import duration, name_of, outcome_of, sentence_in, step_of
from lazaret.deployments.store import list_deployments
from lazaret.entrypoints.bot.conversation import Ask, Reply
from lazaret.healing.requests import list_holds
from lazaret.healing.store import list_approvals
from lazaret.healing.why import why as why_of
from lazaret.incidents.model import OPEN
from lazaret.incidents.store import list_incidents
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.operations.store import list_operations
from lazaret.probing.store import health_of
from lazaret.servers.model import Server
from lazaret.servers.status import OPERATIONAL, ServerStatus
from lazaret.servers.store import get_server

PAGE = 12
DOTS = {True: "🟢", False: "🔴", None: "⚪"}


async def status(ask: Ask) -> Reply:
    """The fleet in a few lines."""
    rows = await ask.session.execute(select(Server.status, func.count()).group_by(Server.status))
    counts = Counter({status: count for status, count in rows})
    _, open_incidents = await list_incidents(ask.session, statuses=sorted(OPEN), limit=1)
    _, live = await list_operations(ask.session, statuses=sorted(LIVE), limit=1)
    _, questions = await list_approvals(ask.session, is_open=True, limit=1)
    holds = await list_holds(ask.session, at=ask.at)
    parts = [bold(ask.say("Fleet"))]
    parts += [
        text(f"{_dot(ServerStatus(status))} {name_of(status, ask.language)}: {count}")
        for status, count in sorted(counts.items())
    ] or [text(ask.say("No servers yet."))]
    parts.append(text(ask.say("Open incidents: {n}", n=open_incidents)))
    parts.append(text(ask.say("Operations at work: {n}", n=live)))
    if questions:
        parts.append(text(ask.say("Waiting for your approval: {n}", n=questions)))
    parts += [
        text(
            "❄️ "
            + ask.say(
                "On hold: {what}, by {owner}: {reason}",
                what=hold.server_handle or ask.say("the fleet"),
                owner=hold.owner,
                reason=hold.reason,
            )
        )
        for hold in holds[:5]
    ]
    return Reply(lines(parts))


async def servers(ask: Ask) -> Reply:
    """One page of the fleet, what is in trouble first."""
    page = int(ask.words[0]) if ask.words and ask.words[0].isdecimal() and len(ask.words[0]) < 6 else 1
    total = await ask.session.scalar(select(func.count()).select_from(Server)) or 0
    pages = max(1, -(-total // PAGE))
    page = min(max(1, page), pages)
    rows = await ask.session.scalars(
        select(Server)
        .order_by(Server.status.in_([one.value for one in OPERATIONAL]), Server.handle)
        .limit(PAGE)
        .offset((page - 1) * PAGE)
    )
    parts = [_server_line(ask, server) for server in rows] or [text(ask.say("No servers yet."))]
    if pages > 1:
        parts.append(text(ask.say("Page {page} of {pages}", page=page, pages=pages)))
    keyboard = ask.buttons.to_page(
        "servers", before=page - 1 if page > 1 else None, after=page + 1 if page < pages else None
    )
    return Reply(lines(parts), keyboard)


async def server(ask: Ask) -> Reply:
    """One server."""
    found = await get_server(ask.session, ask.handle())
    health = await health_of(ask.session, found.handle)
    services, _total = await list_deployments(ask.session, handle=found.handle, limit=20)
    incidents, _ = await list_incidents(ask.session, handle=found.handle, statuses=sorted(OPEN), limit=5)
    since = duration((ask.at - found.status_since).total_seconds(), ask.language)
    parts = [
        _server_line(ask, found),
        text(
            ask.say("For {since}: {reason}", since=since, reason=sentence_in(found.status_reason, ask.language) or "–")
        ),
    ]
    for row in health:
        if row.read_at is not None:
            ago = duration((ask.at - row.read_at).total_seconds(), ask.language)
            parts.append(
                text(
                    ask.say(
                        "Last reading {ago} ago. {because}", ago=ago, because=sentence_in(row.because, ask.language)
                    )
                )
            )
    if services:
        names = ", ".join(f"{one.service_name} ({outcome_of(one.status, ask.language)})" for one in services)
        parts.append(text(ask.say("Services: {names}", names=names)))
    parts += [
        text(f"❌ {name_of(row.cause or row.incident_type, ask.language)}: {name_of(row.status, ask.language)}")
        for row in incidents
    ]
    return Reply(lines(parts), ask.buttons.of_note(found.handle))


async def incidents(ask: Ask) -> Reply:
    """What is open."""
    rows, total = await list_incidents(ask.session, statuses=sorted(OPEN), limit=8)
    if not rows:
        return Reply(text("✅ " + ask.say("No incident is open.")))
    facts = await facts_of(ask.session, [row.id for row in rows])
    parts: list[Rich] = []
    for row in rows:
        parts += [incident_card(facts[row.id], ask.language), text("")]
    if total > len(rows):
        parts.append(text(ask.say("and {n} more", n=total - len(rows))))
    return Reply(lines(parts))


async def operations(ask: Ask) -> Reply:
    """What is at work, and what ended last."""
    rows, _ = await list_operations(ask.session, limit=10)
    marks = {OperationStatus.SUCCEEDED: "✅", OperationStatus.FAILED: "❌", OperationStatus.RUNNING: "▶️"}
    parts = [
        text(f"{marks.get(OperationStatus(row.status), '•')} {row.id} {name_of(row.kind, ask.language)} ")
        + code(row.server_handle)
        + text(f" {outcome_of(row.status, ask.language)}{_detail(ask, row)}")
        for row in rows
    ]
    return Reply(lines(parts) if parts else text(ask.say("No operation yet.")))


async def deployments(ask: Ask) -> Reply:
    """What runs where."""
    rows, total = await list_deployments(ask.session, limit=15)
    parts = [
        text(f"{DOTS[row.status == 'running']} ")
        + bold(row.service_name)
        + text(f" {row.project_id} @ ")
        + code(row.server_handle)
        + text(f":{row.port} {outcome_of(row.status, ask.language)}")
        for row in rows
    ]
    if total > len(rows):
        parts.append(text(ask.say("and {n} more", n=total - len(rows))))
    return Reply(lines(parts) if parts else text(ask.say("Nothing is deployed.")))


async def why(ask: Ask) -> Reply:
    """What is known, which rule decided, what comes next."""
    return await why_about(ask, ask.handle())


async def why_about(ask: Ask, handle: str) -> Reply:
    """The same for a button."""
    answer = await why_of(ask.session, handle, at=ask.at)
    sections = (
        (ask.say("What is"), answer.known),
        (ask.say("What was decided"), answer.decided),
        (ask.say("What comes next"), answer.next),
        (ask.say("What holds it back"), answer.held_back),
    )
    parts: list[Rich] = []
    for title, sentences in sections:
        if sentences:
            parts += [
                bold(title),
                *(text(f"• {sentence_in(sentence, ask.language)[:300]}") for sentence in sentences[-6:]),
            ]
    return Reply(lines(parts))


def _detail(ask: Ask, row: Operation) -> str:
    """What an operation waits for, else where it is."""
    if row.waiting_for:
        return f": {name_of(row.waiting_for, ask.language)}"
    return f" ({step_of(row.step, ask.language)})" if row.step else ""


def _server_line(ask: Ask, found: Server) -> Rich:
    state = name_of(found.status, ask.language)
    return (
        text(f"{_dot(ServerStatus(found.status))} ")
        + bold(found.handle)
        + text(" ")
        + code(found.public_ip or "–")
        + text(f" {state}")
    )


def _dot(status: ServerStatus) -> str:
    if status in OPERATIONAL:
        return DOTS[True]
    return DOTS[False] if status == ServerStatus.ERROR else DOTS[None]
