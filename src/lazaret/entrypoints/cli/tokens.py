"""Commands about tokens for the API."""

from datetime import timedelta
from typing import Annotated

import typer

from lazaret.entrypoints.cli.reading import AsJson
from lazaret.entrypoints.cli.render import age, print_json, print_line, print_table
from lazaret.entrypoints.cli.session import acting_token, actor, command, office, rows_of
from lazaret.kernel.settings import Settings
from lazaret.users import store
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link, sign_out_everywhere

app = typer.Typer(
    help="Tokens for the API.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


def dashboard_address(settings: Settings) -> str:
    """Where people open the dashboard."""
    own = f"http://{settings.lazaret_bind}:{settings.lazaret_port}"
    return settings.lazaret_public_url.rstrip("/") or own


@app.command()
@command
async def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    days: Annotated[int, typer.Option(min=0, max=3650, help="Days until it expires; 0 is never.")] = 0,
) -> None:
    """Make a token. Its text is shown this once."""
    async with office() as here, here.db.transaction() as session:
        now = here.clock.now()
        expires_at = now + timedelta(days=days) if days else None
        _, token = await store.create_token(session, name.strip(), role, actor(), at=now, expires_at=expires_at)
    typer.echo(token.get_secret_value())


@app.command(name="list")
@command
async def list_tokens(as_json: AsJson = False) -> None:
    """Every token, without its text."""
    async with office() as here, here.db.transaction() as session:
        rows = await store.list_tokens(session)
    if as_json:
        print_json({k: v for k, v in rows_of(row).items() if k != "token_hash"} for row in rows)
        return
    print_table(
        ["ID", "NAME", "ROLE", "MADE", "LAST USED", "STATE"],
        [
            (
                row.id,
                row.name,
                row.role,
                age(row.created_at),
                age(row.last_used_at),
                "revoked" if row.revoked_at else "valid",
            )
            for row in rows
        ],
        empty="No tokens yet: lazaret token create NAME --role admin",
    )


@app.command()
@command
async def revoke(token_id: Annotated[int, typer.Argument(min=1, max=2**63 - 1)]) -> None:
    """From now on the token is refused."""
    async with office() as here, here.db.transaction() as session:
        await store.revoke_token(session, token_id, actor(), at=here.clock.now())
    typer.echo(f"Token {token_id} is revoked.")


@app.command()
@command
async def login(
    role: Annotated[Role, typer.Option(help="What whoever uses it may do.")] = Role.ADMIN,
    name: Annotated[str, typer.Option(help="As whom; left out: you.")] = "",
) -> None:
    """Make a link that signs in to the dashboard, once, within ten minutes.

    Made with LAZARET_TOKEN, the link and its session end when that token does.
    """
    async with office() as here, here.db.transaction() as session:
        who = name.strip() or actor().name
        secret = await create_login_link(session, who, role, actor(), at=here.clock.now(), token_id=acting_token())
        typer.echo(f"{dashboard_address(here.settings)}/sign-in/{secret.get_secret_value()}")


@app.command()
@command
async def logout(
    name: Annotated[str, typer.Argument(help="As whom they are signed in; `lazaret audit session.begin` tells it.")],
) -> None:
    """Sign somebody out of the dashboard everywhere. Links made for them and not used yet are void as well."""
    async with office() as here, here.db.transaction() as session:
        ended = await sign_out_everywhere(session, name, actor(), at=here.clock.now())
    print_line(f"{name} is signed out. Sessions ended: {ended.sessions}; links that are void: {ended.links}.")
