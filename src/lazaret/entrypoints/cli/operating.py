"""Commands about operations: list, show, follow, cancel; and those that ask for one: provision, rebuild."""

import asyncio
import sys
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from lazaret.entrypoints.cli.reading import EVERYTHING, AsJson
from lazaret.entrypoints.cli.render import age, print_fields, print_json, print_line, print_table
from lazaret.entrypoints.cli.session import acting_role, actor, command, office, rows_of
from lazaret.entrypoints.office import Office
from lazaret.kernel.errors import InvalidInput
from lazaret.operations import store
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.operations.readers import readable_result
from lazaret.provisioning.requests import require_reinstallable
from lazaret.servers.store import get_server

app = typer.Typer(help="What was and is done to servers.", add_completion=False, pretty_exceptions_enable=False)

Handle = Annotated[str, typer.Argument(help="For example vps-267179.")]
OperationId = Annotated[int, typer.Argument(min=1, max=2**63 - 1, help="As `lazaret operations` shows it.")]
Follow = Annotated[bool, typer.Option("--follow", help="Stay and show what happens, until it ends.")]
Reason = Annotated[str, typer.Option(help="Why; it stands in the audit log.")]

FOLLOW_S = 0.3


@app.callback(invoke_without_command=True)
@command
async def operations(
    context: typer.Context,
    server: Annotated[str, typer.Option(help="Only of this server.")] = "",
    status: Annotated[list[OperationStatus] | None, typer.Option(help="Only with this status.")] = None,
    as_json: AsJson = False,
) -> None:
    """What was and is done to servers, newest first."""
    if context.invoked_subcommand is not None:
        return
    async with office() as here, here.db.transaction() as session:
        if server:
            await get_server(session, server)
        rows, _ = await store.list_operations(session, handle=server, statuses=status or [], limit=EVERYTHING)
    if as_json:
        print_json(_row(row) for row in rows)
        return
    print_table(
        ["ID", "SERVER", "KIND", "STATUS", "STEP", "ATTEMPT", "ASKED FOR", "BY", "WHAT TO KNOW"],
        [
            (
                row.id,
                row.server_handle,
                row.kind,
                row.status,
                row.step,
                f"{row.attempt}/{row.max_attempts}",
                age(row.created_at),
                row.requested_by,
                row.hint if row.status == OperationStatus.WAITING else row.error,
            )
            for row in rows
        ],
        empty="No operations yet.",
    )


def _row(operation: Operation) -> dict[str, Any]:
    """By column name, with what whoever sits at the keyboard may read of the result."""
    return rows_of(operation) | {"result": readable_result(operation, acting_role())}


@app.command()
@command
async def show(operation_id: OperationId, as_json: AsJson = False) -> None:
    """One operation with every run of every step."""
    async with office() as here, here.db.transaction() as session:
        operation = await store.get_operation(session, operation_id)
        steps = await store.steps_of(session, operation_id)
    if as_json:
        print_json([_row(operation) | {"steps": [rows_of(step) for step in steps]}])
        return
    hidden = {"lease", "lease_until", "result"}
    print_fields({name: value for name, value in rows_of(operation).items() if name not in hidden})
    typer.echo()
    print_table(
        ["STEP", "ATTEMPT", "STATUS", "TOOK", "WHAT HAPPENED"],
        [
            (
                step.name,
                step.attempt,
                step.status,
                f"{(step.finished_at - step.started_at).total_seconds():.1f} s" if step.finished_at else "",
                step.detail,
            )
            for step in steps
        ],
        empty="No step has begun.",
    )


@app.command()
@command
async def follow(operation_id: OperationId) -> None:
    """Show what happens until the operation ends; exit code 0 only when it succeeded."""
    async with office() as here:
        await follow_to_end(here, operation_id)


@app.command()
@command
async def cancel(operation_id: OperationId) -> None:
    """Stop an operation: at once when no worker has it, else at its next safe point."""
    async with office() as here, here.db.transaction() as session:
        operation = await here.intents.cancel(session, operation_id, actor(), at=here.clock.now())
        typer.echo(f"Operation {operation.id} of {operation.server_handle} is being cancelled ({operation.status}).")


@command
async def provision(
    handle: Handle,
    root_password_stdin: Annotated[
        bool, typer.Option("--root-password-stdin", help="Read the root password from standard input, one line.")
    ] = False,
    converge: Annotated[bool, typer.Option("--converge", help="Run the playbook even where nothing differs.")] = False,
    reason: Reason = "",
    follow: Follow = False,
) -> None:
    """Set a server up (again). Data stays."""
    password = _read_password() if root_password_stdin else None
    async with office() as here:
        async with here.db.transaction() as session:
            operation = await here.desk.provision(
                session,
                handle,
                actor(),
                at=here.clock.now(),
                reason=reason,
                root_password=password,
                converge=converge,
            )
        await told(here, operation, follow=follow)


@command
async def rebuild(  # noqa: PLR0917 - typer's options
    handle: Handle,
    reinstall: Annotated[
        bool,
        typer.Option("--reinstall/--keep-os", help="Put a fresh system on it (data goes), or keep the one it has."),
    ] = True,
    os_template: Annotated[str, typer.Option("--os", help="Which system; else DEFAULT_OS_TEMPLATE or its own.")] = "",
    confirm: Annotated[str, typer.Option(help="The handle once more, where nobody can be asked.")] = "",
    reason: Reason = "",
    follow: Follow = False,
) -> None:
    """Set a server up from the start. DATA GOES, unless --keep-os."""
    async with office() as here:
        if reinstall:
            async with here.db.transaction() as session:
                await require_reinstallable(session, handle)
            _confirm(handle, confirm)
        async with here.db.transaction() as session:
            operation = await here.desk.rebuild(
                session,
                handle,
                actor(),
                at=here.clock.now(),
                reason=reason,
                reinstall=reinstall,
                os_template=os_template or None,
            )
        await told(here, operation, follow=follow)


def _confirm(handle: str, confirm: str) -> None:
    """A reinstall needs the handle a second time."""
    if not confirm and sys.stdin.isatty():
        typer.echo(f"This erases all data of {handle} and its backups at the provider.", err=True)
        confirm = typer.prompt("Type the handle to go on", default="", show_default=False, err=True)
    if confirm != handle:
        raise InvalidInput(
            "Nothing was done: a rebuild erases all data and needs the handle a second time.",
            hint=f"lazaret rebuild {handle} --confirm {handle}, or --keep-os to keep the data.",
        )


def _read_password() -> SecretStr:
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise InvalidInput(
            "Standard input holds no password.", hint="For example: pass show vps | lazaret provision ..."
        )
    return SecretStr(line)


async def told(here: Office, operation: Operation, *, follow: bool) -> None:
    typer.echo(f"Operation {operation.id}: {operation.kind} of {operation.server_handle}, {operation.status}.")
    if follow:
        await follow_to_end(here, operation.id)
    else:
        typer.echo(f"See it work: lazaret operations follow {operation.id}")


async def follow_to_end(here: Office, operation_id: int, *, quiet: bool = False) -> None:
    """Print events as they come, and when a person is waited for. Exit code 1 unless the operation succeeds."""
    after, told_wait = 0, False
    while True:
        async with here.db.transaction() as session:
            operation = await store.get_operation(session, operation_id)
            rows = await store.events_after(session, after, operation_id=operation_id)
        for row in rows:
            after = row.id
            state = row.data.get("state") or ""
            if state not in {"started", "running"} and not quiet:
                print_line(f"{row.at:%H:%M:%S}  {row.step or row.kind:<22} {state:<9} {row.message}")
        if OperationStatus(operation.status) not in LIVE:
            break
        if operation.status == OperationStatus.WAITING and not told_wait:
            told_wait = True
            print_line(f"It waits for you: {operation.hint}")
        await asyncio.sleep(FOLLOW_S)
    if operation.status != OperationStatus.SUCCEEDED:
        print_line(f"error: {operation.status}: {operation.error or ''}", err=True)
        if operation.hint:
            print_line(f"hint: {operation.hint}", err=True)
        raise typer.Exit(1)
