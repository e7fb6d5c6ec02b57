"""Commands about people: who is known, what they may do, who did what."""

from typing import Annotated, Literal

import typer

from lazaret.entrypoints.cli.reading import AsJson
from lazaret.entrypoints.cli.render import age, print_json, print_table
from lazaret.entrypoints.cli.session import actor, command, office, rows_of
from lazaret.kernel import audit as log
from lazaret.users import store
from lazaret.users.model import Role

app = typer.Typer(
    help="People whom the bot knows.", no_args_is_help=False, add_completion=False, pretty_exceptions_enable=False
)


@app.callback(invoke_without_command=True)
@command
async def users(context: typer.Context, as_json: AsJson = False) -> None:
    """Everybody who ever wrote to the bot, and what they may do."""
    if context.invoked_subcommand is not None:
        return
    async with office() as here, here.db.transaction() as session:
        rows, _ = await store.list_users(session, limit=1000)
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["TELEGRAM ID", "NAME", "USERNAME", "ROLE", "SEEN"],
        [
            (row.telegram_id, row.first_name or "", row.username or "", row.role or "stranger", age(row.last_seen))
            for row in rows
        ],
        empty="Nobody has written to the bot yet. The first administrators are named in TELEGRAM_ADMIN_IDS.",
    )


@app.command()
@command
async def role(
    telegram_id: Annotated[int, typer.Argument(min=1, max=2**63 - 1)],
    role: Annotated[Literal["viewer", "operator", "admin", "none"], typer.Argument(help="none: nothing any more.")],
) -> None:
    """Say what a person may do, in Telegram and on the dashboard."""
    async with office() as here, here.db.transaction() as session:
        user = await store.get_user(session, telegram_id, for_update=True)
        store.set_role(session, user, None if role == "none" else Role(role), actor(), at=here.clock.now())
    typer.echo(f"{telegram_id} is {'a stranger' if role == 'none' else role} now.")


@command
async def audit(
    search: Annotated[str, typer.Argument(help="In actor, action or subject.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many, from the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Who did what, newest first."""
    async with office() as here, here.db.transaction() as session:
        rows = await log.entries(session, search=search, limit=limit)
    if as_json:
        print_json(rows_of(row) for row in rows)
        return
    print_table(
        ["WHEN", "WHO", "BY", "WHAT", "TO WHAT", "OPERATION"],
        [(age(row.at), row.actor, row.channel, row.action, row.subject, row.operation_id or "") for row in rows],
        empty="Nothing like that was done.",
    )
