"""`lazaret why`: what is known of a server, which rule decided, what comes next and when. Answers from data only."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.gate import window_over
from lazaret.healing.store import list_approvals
from lazaret.healing.trigger import begins_by_itself
from lazaret.incidents.model import OPEN, Incident, IncidentType
from lazaret.incidents.store import list_incidents, newest_of, open_of
from lazaret.operations.model import Operation, OperationStatus
from lazaret.operations.store import list_operations, live_operation
from lazaret.probing.model import ServerHealth
from lazaret.probing.store import health_of
from lazaret.servers.model import Hold, Server
from lazaret.servers.registry import cannot_of
from lazaret.servers.status import OPERATIONAL, PARKED, ServerStatus
from lazaret.servers.store import get_server, holds_on

LINES_TOLD = 8
"""Of an incident's timeline."""


@dataclass(frozen=True, slots=True)
class Why:
    """Sentences, in the order in which a person asks: what is, why, what comes next, what holds it back."""

    handle: str
    status: str
    known: list[str]
    decided: list[str]
    next: list[str]
    held_back: list[str]


async def why(session: AsyncSession, handle: str, *, at: datetime) -> Why:
    """The answer for one server. Raises `NotFound`."""
    server = await get_server(session, handle)
    live = await live_operation(session, handle)
    holds = await holds_on(session, handle, at=at)
    health = await health_of(session, handle)
    incidents, _ = await list_incidents(session, handle=handle, statuses=sorted(OPEN))
    decided = [line for incident in incidents for line in await _story(session, incident, at)]
    return Why(
        handle=handle,
        status=server.status,
        known=_known(server, health, incidents, at),
        decided=decided or await _last_operation(session, handle),
        next=await _next(session, server, live, incidents, holds=holds, at=at),
        held_back=await _held_back(session, server, holds, at),
    )


def _known(server: Server, health: list[ServerHealth], incidents: list[Incident], at: datetime) -> list[str]:
    since = _ago(server.status_since, at)
    lines = [
        f"{server.handle} is {server.status} since {since}: {server.status_reason}"
        if server.status_reason
        else f"{server.handle} is {server.status} since {since}"
    ]
    for row in health:
        state = f"{row.phase} ({row.condition})" if row.condition else row.phase
        lines.append(
            f"seen from {row.vantage}: {state} since {_ago(row.since, at)}: {row.because} "
            f"Last reading: {_ago(row.read_at, at)}."
        )
    if any(row.is_flapping for row in health):
        lines.append("it comes and goes: its incident stays open, and nothing is done, until it was quiet for a while")
    if not health and server.status in OPERATIONAL:
        lines.append("no monitor has judged it yet: is `lazaret up` or `lazaret monitor` running?")
    cannot = cannot_of(server.provider)
    if cannot and server.is_managed:
        lines.append(
            f"its provider is {server.provider}, which cannot {', '.join(cannot)}: what needs that is left to a person"
        )
    lines += [
        f"incident {row.id} ({', '.join(filter(None, (row.incident_type, row.cause)))}) is {row.status}, "
        f"open since {_ago(row.detected_at, at)}{_what_failed(row)}"
        for row in incidents
    ]
    return lines


def _what_failed(incident: Incident) -> str:
    """What a failed operation left in its incident: the step, the error, and what to do."""
    details = incident.details
    if incident.incident_type != IncidentType.PROVISIONING_FAILED or not details.get("error"):
        return ""
    return f": {details.get('step') or 'it'} failed: {details['error']} {details.get('hint') or ''}".rstrip()


async def _story(session: AsyncSession, incident: Incident, at: datetime) -> list[str]:
    lines = await newest_of(session, incident.id, limit=LINES_TOLD)
    return [f"{_ago(line.at, at)}: {line.message}" for line in lines]


async def _last_operation(session: AsyncSession, handle: str) -> list[str]:
    rows, _ = await list_operations(session, handle=handle, limit=1)
    return [_ended(row) for row in rows]


def _ended(row: Operation) -> str:
    if row.status != OperationStatus.FAILED:
        return f"operation {row.id} ({row.kind}, asked for by {row.requested_by}) {row.status}"
    cure = row.hint or ""
    return f"operation {row.id} ({row.kind}, asked for by {row.requested_by}) {row.status}: {row.error} {cure}".rstrip()


async def _next(
    session: AsyncSession,
    server: Server,
    live: Operation | None,
    incidents: list[Incident],
    *,
    holds: list[Hold],
    at: datetime,
) -> list[str]:
    lines = []
    if live is not None:
        lines.append(_of_operation(live, at))
    approvals, _ = await list_approvals(session, handle=server.handle, is_open=True)
    lines += [
        f"approval {row.id} is asked for {row.remedy} until {row.expires_at:%Y-%m-%d %H:%M} UTC: "
        f"lazaret approvals approve {row.id}, or deny {row.id}"
        for row in approvals
    ]
    if lines:
        return lines
    if incidents:
        waits = await begins_by_itself(session, server.handle)
        return [_when_released(holds) if waits else _for_a_person(server, incidents)]
    if server.status == ServerStatus.RESERVED:
        return ["nothing, ever: it is not on the list of managed servers"]
    if server.status in PARKED:
        return [f"nothing by itself while it is {server.status}"]
    if server.status == ServerStatus.ERROR:
        return [f"nothing by itself. Set it up again: lazaret provision {server.handle}"]
    return ["it is watched; nothing is to be done"]


def _when_released(holds: list[Hold]) -> str:
    commands = sorted({" ".join(filter(None, ("lazaret unfreeze", hold.server_handle))) for hold in holds})
    if not commands:
        return "its recovery begins by itself as soon as nothing holds it back"
    return f"its recovery begins by itself when it is not frozen any more: {'; '.join(commands)}"


def _for_a_person(server: Server, incidents: list[Incident]) -> str:
    if all(row.incident_type == IncidentType.PROVISIONING_FAILED for row in incidents):
        return f"nothing by itself. Mend what is said, then set it up again: lazaret provision {server.handle}"
    of_ladders = (row for row in incidents if row.incident_type != IncidentType.PROVISIONING_FAILED)
    commands = "; ".join(f"lazaret incidents recover {row.id}" for row in of_ladders)
    return f"nothing by itself: a person must act. Try again: {commands}"


def _of_operation(live: Operation, at: datetime) -> str:
    start = f"operation {live.id} ({live.kind}, by {live.requested_by})"
    match live.status:
        case OperationStatus.RUNNING:
            return f"{start} is in the step {live.step}"
        case OperationStatus.WAITING:
            if live.waiting_until:
                again = _in(live.waiting_until, at)
                return f"{start} waits for {live.waiting_for}, looked at again in {again}: {live.hint or ''}"
            return f"{start} waits for {live.waiting_for}: {live.hint or ''}"
    due = _in(live.due_at, at)
    return f"{start} is due in {due} after: {live.error}" if live.error else f"{start} is due in {due}"


async def _held_back(session: AsyncSession, server: Server, holds: list[Hold], at: datetime) -> list[str]:
    lines = [
        f"hold {row.id} on {row.server_handle or 'the whole fleet'} by {row.owner}: {row.reason}"
        + (f", until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else "")
        for row in holds
    ]
    window = await window_over(session, server.handle, at=at)
    if window is not None:
        lines.append(f"maintenance window until {window.ends_at:%Y-%m-%d %H:%M} UTC: {window.reason}")
    storm = await open_of(session, None, IncidentType.MANY_SERVERS_LOST, provider=server.provider)
    if storm is not None:
        lines.append(f"storm stop (incident {storm.id}): {storm.details.get('storm', {}).get('because', '')}")
    blind = await open_of(session, None, IncidentType.OBSERVER_BLIND)
    if blind is not None:
        lines.append(f"the monitor cannot see (incident {blind.id}): nothing is judged")
    return lines


def _ago(moment: datetime | None, at: datetime) -> str:
    return "never" if moment is None else f"{_span((at - moment).total_seconds())} ago"


def _in(moment: datetime | None, at: datetime) -> str:
    return "a moment" if moment is None else _span(max(0.0, (moment - at).total_seconds()))


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
