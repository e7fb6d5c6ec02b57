"""`lazaret lab telegram`: the lab's messenger by itself, until Ctrl-C."""

import asyncio
from typing import Annotated

import typer

from lazaret.lab.cli_options import clear_errors, progress
from lazaret.lab.environment import as_shell
from lazaret.lab.telegram.server import TelegramServer

telegram_app = typer.Typer()
FIRST_PERSON = 501


@telegram_app.command()
@clear_errors
def telegram(
    people: Annotated[int, typer.Option(min=1, max=100, help="How many people have a phone; all administrators.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
) -> None:
    """Run a Telegram of the lab's own, with a phone to read and press on, until Ctrl-C."""
    try:
        asyncio.run(_serve(people, port))
    except KeyboardInterrupt:
        progress("The lab's Telegram has ended.")


async def _serve(people: int, port: int) -> None:
    async with TelegramServer(port=port).running() as server:
        numbers = range(FIRST_PERSON, FIRST_PERSON + people)
        for number in numbers:
            server.telegram.person(number, first_name=f"Person {number}", has_started=True)
        typer.echo(as_shell(server.environment(*numbers)), nl=False)
        progress(f"Phone: {server.root_url}/phone?person={FIRST_PERSON}")
        progress("Give these variables to `lazaret up`. Ctrl-C ends it.")
        await asyncio.Event().wait()
