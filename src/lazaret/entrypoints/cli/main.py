"""The command `lazaret`: what commands there are. Each lives in a file of its own kind and is imported when called."""

import gc
import warnings
from typing import Annotated

import typer

from lazaret import __version__
from lazaret.entrypoints.cli.lazy import Lazy, lazy_app

_HERE = "lazaret.entrypoints.cli"

GC_AFTER = 50_000
"""New objects between two searches for cycles, instead of 700: while a program is imported there are only new ones, and
to look through them again and again took a fifth of the start."""

COMMANDS = (
    Lazy(
        "up",
        f"{_HERE}.processes:up",
        "Run API, worker, monitor, bot (when it has a token) and database in one process, until Ctrl-C.",
    ),
    Lazy("api", f"{_HERE}.processes:api", "Run the API alone."),
    Lazy("worker", f"{_HERE}.processes:worker", "Run a worker alone; several may run at once."),
    Lazy(
        "monitor",
        f"{_HERE}.processes:monitor",
        "Run a monitor alone; several may run at once and share the fleet.",
    ),
    Lazy("bot", f"{_HERE}.processes:bot", "Run the Telegram bot alone: it answers people and sends what is owed."),
    Lazy("demo", f"{_HERE}.processes:demo", "Show new servers on their way to `ready`, in a cloud on this machine."),
    Lazy(
        "mcp",
        f"{_HERE}.processes:mcp",
        "Tools for agents by MCP over standard input and output, for a client that starts this. They only look.",
    ),
    Lazy(
        "doctor",
        f"{_HERE}.processes:doctor",
        "Check the installation; each finding with its cure. Exit code 1 when something is broken.",
    ),
    Lazy(
        "backup",
        f"{_HERE}.safekeeping:backup",
        "Write state and keys into one file, encrypted with a passphrase. Lazaret may go on running.",
    ),
    Lazy(
        "restore",
        f"{_HERE}.safekeeping:restore",
        "Bring a backup back into a new, empty installation. It watches; it touches nothing until `lazaret unfreeze`.",
    ),
    Lazy("servers", f"{_HERE}.reading:servers", "The fleet, or one server."),
    Lazy(
        "why",
        f"{_HERE}.healing:why",
        "What is known of a server, which rule decided, what comes next, and why nothing is done.",
    ),
    Lazy(
        "check",
        f"{_HERE}.healing:check",
        "Log in now and check the server's health: SSH, Docker, disks, firewall. Exit code 1 when it is not well.",
    ),
    Lazy("provision", f"{_HERE}.operating:provision", "Set a server up (again). Data stays."),
    Lazy("rebuild", f"{_HERE}.operating:rebuild", "Set a server up from the start. DATA GOES, unless --keep-os."),
    Lazy(
        "change",
        f"{_HERE}.changing:change",
        "Change a server's rebuild policy or notes, or take it out of Lazaret's care and back.",
    ),
    Lazy(
        "freeze",
        f"{_HERE}.healing:freeze",
        "Stop all action, automatic and requested, on the fleet or on one server. What runs goes on to its end.",
    ),
    Lazy("unfreeze", f"{_HERE}.healing:unfreeze", "End what `freeze` began."),
    Lazy("holds", f"{_HERE}.healing:holds", "What is frozen, by whom, and until when."),
    Lazy(
        "processes",
        f"{_HERE}.reading:processes",
        "The processes of Lazaret itself: which live, and how their loops do. Exit code 1 when one is silent or ails.",
    ),
    Lazy(
        "log-level",
        f"{_HERE}.log_level:log_level",
        "Let running processes log more, or less, for a while. They go back by themselves.",
    ),
    Lazy("audit", f"{_HERE}.people:audit", "Who did what, newest first."),
    Lazy("operations", f"{_HERE}.operating:app", "What was and is done to servers."),
    Lazy("deployments", f"{_HERE}.deployments:app", "Services on the servers."),
    Lazy("incidents", f"{_HERE}.healing:incident_app", "What went wrong."),
    Lazy("approvals", f"{_HERE}.healing:approvals_app", "Questions that wait for an answer."),
    Lazy("windows", f"{_HERE}.healing:windows_app", "Planned maintenance."),
    Lazy("token", f"{_HERE}.tokens:app", "Tokens for the API."),
    Lazy("users", f"{_HERE}.people:app", "People whom the bot knows."),
    Lazy("lab", "lazaret.lab.cli:lab_app", "A local cloud to try Lazaret on."),
)

app = lazy_app(
    COMMANDS,
    help="Keeps a fleet of rented VPS set up, watched and healed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """Keeps a fleet of rented VPS set up, watched and healed."""
    if show:
        typer.echo(f"lazaret {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    gc.set_threshold(GC_AFTER, 20, 20)
    warnings.filterwarnings("ignore", module="platformdirs")
    app()


if __name__ == "__main__":
    main()
