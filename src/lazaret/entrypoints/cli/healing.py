"""Commands of healing: why, approvals, freeze and holds, maintenance windows, and what is known of an incident."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lazaret.entrypoints.checking import check_health
from lazaret.entrypoints.cli.operating import Follow, Handle, Reason, told
from lazaret.entrypoints.cli.reading import EVERYTHING, AsJson
from lazaret.entrypoints.cli.render import age, print_fields, print_json, print_line, print_table
from lazaret.entrypoints.cli.session import actor, command, office, rows_of
from lazaret.entrypoints.cli.spans import span_of
from lazaret.healing import requests, store
from lazaret.healing.model import Decision
from lazaret.healing.requests import Infirmary
from lazaret.healing.why import why as explain
from lazaret.incidents import store as incidents
from lazaret.incidents.model import OPEN, IncidentStatus
from lazaret.kernel.moments import after
from lazaret.servers.store import get_server

approvals_app = typer.Typer(
    help="Questions that wait for an answer.", add_completion=False, pretty_exceptions_enable=False
)
incident_app = typer.Typer(help="What went wrong.", add_completion=False, pretty_exceptions_enable=False)
windows_app = typer.Typer(help="Planned maintenance.", add_completion=False, pretty_exceptions_enable=False)

Number = Annotated[int, typer.Argument(min=1, max=2**63 - 1)]
For = Annotated[
    str | None, typer.Option("--for", help="How long, for example 30m, 4h or 2d. Left out: until it is lifted.")
]
Note = Annotated[str, typer.Option(help="Why; others will read it.")]

NEWEST_LINES = 500
"""Of an incident's story."""


@command
async def why(handle: Handle, as_json: AsJson = False) -> None:
    """What is known of a server, which rule decided, what comes next, and why nothing is done."""
    async with office() as here, here.db.transaction() as session:
        answer = await explain(session, handle, at=here.clock.now())
    if as_json:
        print_json([{name: getattr(answer, name) for name in answer.__dataclass_fields__}])
        return
    for title, lines in (
        ("Known", answer.known),
        ("Decided", answer.decided),
        ("Next", answer.next),
        ("Held back by", answer.held_back),
    ):
        if lines:
            typer.secho(title, bold=True)
            for line in lines:
                print_line(f"  {line}")


@command
async def check(handle: Handle, as_json: AsJson = False) -> None:
    """Log in now and check the server's health: SSH, Docker, disks, firewall. Exit code 1 when it is not well."""
    async with office() as here:
        report = await check_health(here, handle)
    if as_json:
        print_json([{"handle": handle, **report}])
    else:
        print_fields({"handle": handle, "healthy": "yes" if report["ok"] else "no", **_in_words(report)})
    if not report["ok"]:
        raise typer.Exit(1)


def _in_words(report: Mapping[str, Any]) -> dict[str, str]:
    """A report field by field: parts as `name value`, lists with commas; what is empty or not known is left out."""

    def words(value: object) -> str:
        match value:
            case Mapping():
                parts = {name: words(part) for name, part in value.items()}
                return ", ".join(f"{name} {part}" for name, part in parts.items() if part)
            case list():
                return ", ".join(map(words, value))
            case bool():
                return "yes" if value else "no"
            case None:
                return ""
            case _:
                return str(value)

    told = {name: value for name, value in report.items() if name != "ok"}
    if isinstance(clock := told.get("clock"), Mapping) and isinstance(seconds := clock.get("unix_time"), int | float):
        shown = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
        told["clock"] = {"shows": shown, **{name: value for name, value in clock.items() if name != "unix_time"}}
    return {name.replace("_", " "): words(value) for name, value in told.items()}


@command
async def freeze(
    handle: Annotated[str | None, typer.Argument(help="Only this server; left out: the whole fleet.")] = None,
    reason: Annotated[str, typer.Option(help="Why; others will read it.")] = "frozen by hand",
    length: For = None,
) -> None:
    """Stop all action, automatic and requested, on the fleet or on one server. What runs goes on to its end."""
    async with office() as here:
        now = here.clock.now()
        until = after(now, span_of(length), "The end of the hold") if length is not None else None
        async with here.db.transaction() as session:
            made = await requests.hold(session, handle, actor(), at=now, reason=reason, until=until)
        what = handle or "The whole fleet"
        typer.echo(f"{what} is frozen (hold {made.id}){f' until {until:%Y-%m-%d %H:%M} UTC' if until else ''}.")
        typer.echo(f"End it: lazaret unfreeze{f' {handle}' if handle else ''}")


@command
async def unfreeze(
    handle: Annotated[
        str | None, typer.Argument(help="Only this server's holds; left out: those on the whole fleet.")
    ] = None,
) -> None:
    """End what `freeze` began."""
    async with office() as here, here.db.transaction() as session:
        ended, left = await requests.unfreeze(session, handle, actor(), at=here.clock.now())
    if ended:
        typer.echo(f"Lifted: hold {', '.join(str(row.id) for row in ended)}.")
    elif not left:
        typer.echo("Nothing was frozen.")
    else:
        typer.echo(f"{handle or 'The whole fleet'} was not frozen by itself.")
    for row in left:
        on = row.server_handle or "the whole fleet"
        typer.echo(f"Still frozen: {on} (hold {row.id}). End it: lazaret unfreeze {row.server_handle or ''}".rstrip())
    if left and not ended:
        raise typer.Exit(1)


@command
async def holds(as_json: AsJson = False) -> None:
    """What is frozen, by whom, and until when."""
    async with office() as here, here.db.transaction() as session:
        rows = await requests.list_holds(session, at=here.clock.now())
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["ID", "ON", "BY", "SINCE", "UNTIL", "WHY"],
        [
            (row.id, row.server_handle or "the whole fleet", row.owner, age(row.created_at), row.expires_at, row.reason)
            for row in rows
        ],
        empty="Nothing is frozen.",
    )


@approvals_app.callback(invoke_without_command=True)
@command
async def approvals(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Answered ones as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Questions that wait for an answer."""
    if context.invoked_subcommand is not None:
        return
    async with office() as here, here.db.transaction() as session:
        rows, _ = await store.list_approvals(session, is_open=None if everything else True, limit=1000)
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["ID", "SERVER", "REMEDY", "ASKED", "UNTIL", "ANSWER", "WHY"],
        [
            (row.id, row.server_handle, row.remedy, age(row.asked_at), row.expires_at, row.decision or "", row.why)
            for row in rows
        ],
        empty="Nothing waits for an answer.",
    )


@approvals_app.command()
@command
async def approve(approval_id: Number, note: Note = "") -> None:
    """Yes: the remedy may be used."""
    await _answer(approval_id, Decision.APPROVED, note)


@approvals_app.command()
@command
async def deny(approval_id: Number, note: Note = "") -> None:
    """No: the recovery is handed over to a person."""
    await _answer(approval_id, Decision.DENIED, note)


async def _answer(approval_id: int, decision: Decision, note: str) -> None:
    async with office() as here, here.db.transaction() as session:
        row = await Infirmary(here.intents).decide(
            session, approval_id, decision, actor(), at=here.clock.now(), note=note
        )
        typer.echo(f"Approval {row.id}: {row.remedy} on {row.server_handle} is {row.decision}.")


@incident_app.callback(invoke_without_command=True)
@command
async def list_incidents(
    context: typer.Context,
    server: Annotated[str, typer.Option(help="Only of this server.")] = "",
    active: Annotated[bool, typer.Option("--active", help="Only those that are not over.")] = False,
    status: Annotated[list[IncidentStatus] | None, typer.Option(help="Only with this status.")] = None,
    as_json: AsJson = False,
) -> None:
    """What went wrong, newest first."""
    if context.invoked_subcommand is not None:
        return
    async with office() as here, here.db.transaction() as session:
        if server:
            await get_server(session, server)
        rows, _ = await incidents.list_incidents(
            session, handle=server, statuses=sorted(OPEN) if active else status or [], limit=EVERYTHING
        )
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["ID", "SERVER", "WHAT", "STATUS", "DETECTED", "WHY"],
        [
            (
                row.id,
                row.server_handle or "the fleet",
                row.incident_type,
                row.status,
                age(row.detected_at),
                row.cause or row.details.get("error", ""),
            )
            for row in rows
        ],
        empty="No incidents.",
    )


@incident_app.command()
@command
async def show(incident_id: Number, as_json: AsJson = False) -> None:
    """One incident with the newest lines of its story."""
    async with office() as here, here.db.transaction() as session:
        incident = await incidents.get_incident(session, incident_id)
        lines = await incidents.newest_of(session, incident_id, limit=NEWEST_LINES)
    if as_json:
        print_json([rows_of(incident) | {"timeline": [rows_of(line) for line in lines]}])
        return
    told = {name: incident.details.get(name) for name in ("operation_id", "step", "error", "hint")}
    print_fields({name: value for name, value in rows_of(incident).items() if name != "details"} | told)
    typer.echo()
    for line in lines:
        print_line(f"{line.at:%Y-%m-%d %H:%M:%S}  {line.kind:<11}  {line.message}")


@incident_app.command()
@command
async def ack(incident_id: Number) -> None:
    """Say that you know of it."""
    async with office() as here, here.db.transaction() as session:
        row = await incidents.acknowledge(session, incident_id, actor(), at=here.clock.now())
        typer.echo(f"Incident {row.id} is acknowledged by {row.acknowledged_by}.")


@incident_app.command()
@command
async def recover(incident_id: Number, reason: Reason = "", follow: Follow = False) -> None:
    """Try (again) to recover its server, from the first rung on."""
    async with office() as here:
        async with here.db.transaction() as session:
            operation = await Infirmary(here.intents).recover(
                session, incident_id, actor(), at=here.clock.now(), reason=reason
            )
        await told(here, operation, follow=follow)


@incident_app.command()
@command
async def evidence(incident_id: Number) -> None:
    """What the server showed before a remedy could destroy it."""
    async with office() as here, here.db.transaction() as session:
        await incidents.get_incident(session, incident_id)
        rows = await store.evidence_of(session, incident_id)
    for row in rows:
        typer.secho(f"== {row.name} ({row.at:%Y-%m-%d %H:%M:%S} UTC)", bold=True)
        print_line(row.content)
    if not rows:
        typer.echo("No evidence was taken.")


@windows_app.callback(invoke_without_command=True)
@command
async def windows(context: typer.Context, as_json: AsJson = False) -> None:
    """Maintenance windows, in force or to come."""
    if context.invoked_subcommand is not None:
        return
    async with office() as here, here.db.transaction() as session:
        rows = await requests.list_windows(session, at=here.clock.now())
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["ID", "ON", "FROM", "UNTIL", "BY", "WHY"],
        [
            (row.id, row.server_handle or "the whole fleet", row.starts_at, row.ends_at, row.owner, row.reason)
            for row in rows
        ],
        empty="No maintenance is planned.",
    )


@windows_app.command()
@command
async def plan(
    reason: Annotated[str, typer.Option(help="Why; others will read it.")],
    length: Annotated[str, typer.Option("--for", help="How long, for example 30m, 4h or 2d.")],
    start: Annotated[datetime | None, typer.Option("--from", help="UTC; left out: now.")] = None,
    server: Annotated[str | None, typer.Option(help="Only this server; left out: the whole fleet.")] = None,
) -> None:
    """Plan a time in which nothing is judged or done by itself."""
    async with office() as here, here.db.transaction() as session:
        now = here.clock.now()
        begins = start.replace(tzinfo=UTC) if start else now
        made = await requests.plan_window(
            session,
            server,
            actor(),
            at=now,
            starts_at=begins,
            ends_at=after(begins, span_of(length), "The window's end"),
            reason=reason,
        )
        typer.echo(
            f"Maintenance window {made.id}: {made.starts_at:%Y-%m-%d %H:%M} to {made.ends_at:%Y-%m-%d %H:%M} UTC."
        )


@windows_app.command()
@command
async def cancel(window_id: Number) -> None:
    """Call a window off, or end it early."""
    async with office() as here, here.db.transaction() as session:
        row = await requests.cancel_window(session, window_id, actor(), at=here.clock.now())
        typer.echo(f"Maintenance window {row.id} is called off.")
