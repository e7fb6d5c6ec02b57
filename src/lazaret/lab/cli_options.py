"""What the commands of `lazaret lab` share: their options, their errors, and how servers are shown."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from lazaret.kernel.errors import Category, Conflict, LazaretError
from lazaret.lab.client import LabClient
from lazaret.lab.daemon import LabDirectory

P = ParamSpec("P")
_WRONG_USE = frozenset({Category.INVALID, Category.NOT_FOUND})


def _default_root() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "lazaret-lab"


Name = Annotated[str, typer.Option("--name", help="Which lab; several can run at once.")]
Root = Annotated[Path, typer.Option("--state-dir", help="Where labs keep their files.", default_factory=_default_root)]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Handle = Annotated[str, typer.Argument(help="vps-<id>")]


def clear_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Errors as one line each for what and what to do, and an exit code, never a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except LazaretError as error:
            progress(f"error: {error.message}")
            if error.hint:
                progress(f"hint: {error.hint}")
            raise typer.Exit(2 if error.category in _WRONG_USE else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(1) from None

    return run


def client_of(root: Path, name: str) -> LabClient:
    """The running lab of this name. Raises `Conflict` when it does not run."""
    lab = LabDirectory(root, name).running()
    if lab is None:
        raise Conflict(f"Lab {name!r} does not run.", hint="Start it with: lazaret lab up")
    return LabClient(lab.root_url)


def print_servers(servers: Iterable[Mapping[str, Any]], *, as_json: bool = False) -> None:
    """One line each, with the faults that it has, or JSON."""
    if as_json:
        typer.echo(json.dumps(list(servers), indent=2))
        return
    for server in servers:
        state = "on" if server["is_on"] else "off"
        address = f"{server['public_ip']}:{server['ssh_port']}"
        faults = "".join(f"  [{fault}]" for fault in server["faults"])
        typer.echo(f"{server['handle']:<12}{state:<5}{address:<22}{server['os']:<30}{server['label']}{faults}".rstrip())


def progress(text: str) -> None:
    """What a program does not want."""
    typer.echo(text, file=sys.stderr)
