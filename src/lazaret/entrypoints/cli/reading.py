"""Reading commands: servers, and Lazaret's own processes."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from lazaret.alerting.self_watch import ProcessState, ProcessView, view_of
from lazaret.entrypoints.cli.render import age, print_fields, print_json, print_table
from lazaret.entrypoints.cli.session import command, office, rows_of
from lazaret.kernel.processes import list_processes
from lazaret.operations.store import list_operations, live_operation
from lazaret.servers import store
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus

EVERYTHING = 1_000_000

AsJson = Annotated[bool, typer.Option("--json", help="A list of objects, for programs.")]


@command
async def servers(
    handle: Annotated[str, typer.Argument(help="One server in detail, for example vps-267179.")] = "",
    status: Annotated[list[ServerStatus] | None, typer.Option(help="Only servers with this status.")] = None,
    managed: Annotated[bool | None, typer.Option("--managed/--ghosts", help="Only these.")] = None,
    as_json: AsJson = False,
) -> None:
    """The fleet, or one server."""
    async with office() as here, here.db.transaction() as session:
        if handle:
            rows = [await store.get_server(session, handle)]
            live = await live_operation(session, handle)
            past, _ = await list_operations(session, handle=handle, limit=5)
        else:
            rows, _ = await store.list_servers(session, statuses=status or [], is_managed=managed, limit=EVERYTHING)
    if as_json:
        print_json(_shown(row) for row in rows)
    elif handle:
        print_fields(_shown(rows[0]) | {"operation": f"{live.id}: {live.kind}, {live.status}" if live else ""})
        if past:
            typer.echo(f"\nLast operations: {', '.join(f'{one.id} ({one.kind}, {one.status})' for one in past)}")
    else:
        print_table(
            ["HANDLE", "STATUS", "SINCE", "ADDRESS", "NAME", "PROVIDER", "CARE", "WHY"],
            [
                (
                    row.handle,
                    row.status,
                    age(row.status_since),
                    row.public_ip,
                    row.label or row.host,
                    row.provider,
                    "managed" if row.is_managed else "ghost",
                    row.status_reason,
                )
                for row in rows
            ],
            empty="No such server."
            if status or managed is not None
            else "No servers yet. `lazaret doctor` says whether a provider is set up.",
        )


def _shown(row: Server) -> dict[str, Any]:
    """The field names of the API."""
    return rows_of(row) | {"capabilities": row.capabilities}


@command
async def processes(as_json: AsJson = False) -> None:
    """The processes of Lazaret itself: which live, and how their loops do. Exit code 1 when one is silent or ails."""
    async with office() as here, here.db.transaction() as session:
        rows = await list_processes(session)
        silent_after_s = here.settings.lazaret_silent_after
        views = [view_of(row, silent_after_s, here.clock.now()) for row in rows]
    if as_json:
        print_json(asdict(view) for view in views)
    else:
        print_table(
            ["KIND", "STATE", "HOST", "PID", "VERSION", "STARTED", "SEEN", "LOGS", "LOOPS"],
            [
                (
                    view.kind,
                    view.state,
                    view.host,
                    view.pid,
                    view.version,
                    age(view.started_at),
                    age(view.seen_at),
                    view.log_level or "as configured",
                    _loops(view),
                )
                for view in views
            ],
            empty="No process of Lazaret runs on this database. `lazaret up` starts one.",
        )
    if any(view.state is not ProcessState.ALIVE for view in views):
        raise typer.Exit(1)


def _loops(view: ProcessView) -> str:
    dead = [
        f"{loop.name} dead for {loop.silent_s:.0f} s ({loop.error or 'it hangs'})"
        for loop in view.loops
        if loop.is_dead
    ]
    return "; ".join(dead) or f"{len(view.loops)} well"
