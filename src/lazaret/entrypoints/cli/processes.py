"""Commands that run Lazaret: up, api, worker, demo, doctor. What they run is imported when they are called."""

from typing import Annotated

import typer

from lazaret.entrypoints.cli.reading import AsJson
from lazaret.entrypoints.cli.session import command, office, prepare


@command
async def up() -> None:
    """Run API, worker, monitor, bot (when it has a token) and database in one process, until Ctrl-C."""
    from lazaret.entrypoints.up import run_up  # noqa: PLC0415

    settings, redactor = prepare()
    parts = {"api", "worker", "monitor"} | ({"bot"} if settings.telegram_bot_token is not None else set())
    await run_up(settings, redactor, parts=parts)


@command
async def api() -> None:
    """Run the API alone."""
    from lazaret.entrypoints.up import run_up  # noqa: PLC0415

    await run_up(*prepare(), parts=frozenset({"api"}))


@command
async def worker() -> None:
    """Run a worker alone; several may run at once."""
    from lazaret.entrypoints.up import run_up  # noqa: PLC0415

    await run_up(*prepare(), parts=frozenset({"worker"}))


@command
async def monitor() -> None:
    """Run a monitor alone; several may run at once and share the fleet."""
    from lazaret.entrypoints.up import run_up  # noqa: PLC0415

    await run_up(*prepare(), parts=frozenset({"monitor"}))


@command
async def bot() -> None:
    """Run the Telegram bot alone: it answers people and sends what is owed."""
    from lazaret.entrypoints.up import run_up  # noqa: PLC0415

    await run_up(*prepare(), parts=frozenset({"bot"}))


@command
async def mcp(
    write: Annotated[
        bool, typer.Option("--write", help="Offer the tools that act as well, not only those that look.")
    ] = False,
) -> None:
    """Tools for agents by MCP over standard input and output, for a client that starts this. They only look.

    Over HTTP the same tools are at /mcp of the API.
    """
    from lazaret.entrypoints.mcp.stdio import run_stdio  # noqa: PLC0415

    async with office() as here:
        await run_stdio(here, may_act=write)


@command
async def doctor(as_json: AsJson = False) -> None:
    """Check the installation; each finding with its cure. Exit code 1 when something is broken."""
    from lazaret.entrypoints.doctor.examination import run_doctor  # noqa: PLC0415

    if not await run_doctor(as_json=as_json):
        raise typer.Exit(1)


@command
async def demo(
    once: Annotated[bool, typer.Option("--once", help="End when all servers are ready, or one failed.")] = False,
    hosts: Annotated[int, typer.Option(min=1, max=20, help="Number of servers.")] = 2,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Simulated hosts, even where real ones can be.")
    ] = False,
) -> None:
    """Show new servers on their way to `ready`, in a cloud on this machine."""
    from lazaret.entrypoints.demo import run_demo  # noqa: PLC0415

    if not await run_demo(once=once, hosts=hosts, simulated=simulated):
        raise typer.Exit(1)
