"""The command by which processes that run log more, or less, for a while."""

from enum import StrEnum
from typing import Annotated

import typer

from lazaret.entrypoints.cli.session import actor, command, office
from lazaret.entrypoints.cli.spans import span_of
from lazaret.kernel.log_level import ask_log_level
from lazaret.kernel.logging import Level


class Choice(StrEnum):
    """The levels, and the way back."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CONFIGURED = "configured"


@command
async def log_level(
    level: Annotated[Choice, typer.Argument(help="The least level to log; `configured` goes back at once.")],
    process: Annotated[str, typer.Option(help="A kind (`worker`), a part or an id of a process. Left out: all.")] = "",
    lasting: Annotated[str, typer.Option("--for", help="How long, for example 15m or 2h; a day at most.")] = "15m",
) -> None:
    """Let running processes log more, or less, for a while. They go back by themselves."""
    async with office() as here, here.db.transaction() as session:
        wish = None if level is Choice.CONFIGURED else Level(level.value)
        now, span = here.clock.now(), span_of(lasting)
        rows = await ask_log_level(session, wish, actor(), process=process, lasting=span, at=now)
        for row in rows:
            until = f"until {row.log_level_until:%H:%M:%S} UTC" if row.log_level_until else "from now on"
            typer.echo(f"{row.kind} on {row.host} (pid {row.pid}): {level.value} {until}")
    typer.echo("Each begins with its next beat, within 5 s.")
