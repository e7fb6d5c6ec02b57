"""The command `lazaret`: what commands there are. Each lives in a file of its own kind."""

import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from lazaret import __version__
from lazaret.entrypoints.cli import deployments, healing, operating, people, processes, reading, tokens

app = typer.Typer(
    help="Keeps a fleet of rented VPS set up, watched and healed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COMMANDS: tuple[Callable[..., None], ...] = (
    processes.up,
    processes.api,
    processes.worker,
    processes.monitor,
    processes.bot,
    processes.demo,
    processes.doctor,
    reading.servers,
    healing.why,
    healing.check,
    operating.provision,
    operating.rebuild,
    healing.freeze,
    healing.unfreeze,
    healing.holds,
    people.audit,
)
for function in COMMANDS:
    app.command()(function)
app.add_typer(operating.app, name="operations")
app.add_typer(deployments.app, name="deployments")
app.add_typer(healing.incident_app, name="incidents")
app.add_typer(healing.approvals_app, name="approvals")
app.add_typer(healing.windows_app, name="windows")
app.add_typer(tokens.app, name="token")
app.add_typer(people.app, name="users")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Say which version this is.")] = False,
) -> None:
    """Keeps a fleet of rented VPS set up, watched and healed."""
    if show:
        typer.echo(f"lazaret {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; the lab's commands are added only when asked for, because they need much."""
    warnings.filterwarnings("ignore", module="platformdirs")
    if "lab" in sys.argv[1:2] or {"--help", "-h"} & set(sys.argv[1:2]) or len(sys.argv) == 1:
        from lazaret.lab.cli import lab_app  # noqa: PLC0415

        app.add_typer(lab_app, name="lab")
    app()


if __name__ == "__main__":
    main()
