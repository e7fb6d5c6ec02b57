"""`lazaret lab fault`, `heal`, `faults`: let a server of the lab have what can go wrong at night, and end it again."""

import json
from typing import Annotated, Any

import typer

from lazaret.kernel.errors import InvalidInput
from lazaret.lab.cli_options import AsJson, Handle, Name, Root, clear_errors, client_of, progress
from lazaret.lab.servers import server_id_of

faults_app = typer.Typer()


@faults_app.command()
@clear_errors
def fault(
    root: Root,
    handle: Handle,
    fault_name: Annotated[str, typer.Argument(metavar="FAULT", help="See: lazaret lab faults")],
    parameters: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE: direction=in, percent=30.")] = None,
    name: Name = "lab",
) -> None:
    """Let a server have a fault, until it is healed or ends by itself."""
    row = client_of(root, name).inflict(server_id_of(handle), fault_name, _pairs(parameters or []))
    typer.echo(_line(row))


@faults_app.command()
@clear_errors
def heal(
    root: Root,
    handle: Handle,
    fault_name: Annotated[str | None, typer.Argument(metavar="[FAULT]", help="Left out: all.")] = None,
    name: Name = "lab",
) -> None:
    """End a fault of a server, or all: what was there before is put back."""
    healed = client_of(root, name).heal(server_id_of(handle), fault_name)
    progress(f"Healed: {', '.join(healed)}." if healed else f"{handle} has no fault.")


@faults_app.command()
@clear_errors
def faults(root: Root, name: Name = "lab", as_json: AsJson = False) -> None:
    """What can go wrong with a server, and what does at the moment."""
    found = client_of(root, name).faults()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for row in found["on"]:
        typer.echo(_line(row))
    typer.echo("" if found["on"] else "No server has a fault.\n")
    for known in found["known"]:
        _describe(known)


def _describe(known: dict[str, Any]) -> None:
    only = "" if len(known["hosts"]) > 1 else f" Only {known['hosts'][0]} hosts."
    typer.echo(f"{known['name']:<19}{known['help']}{only}")
    for key, meaning in known["parameters"].items():
        typer.echo(f"{'':<19}{key}=: {meaning}")
    typer.echo(f"{'':<19}ends with: {known['ends_with']}")


def _line(row: dict[str, Any]) -> str:
    parameters = " ".join(f"{key}={value}" for key, value in row["parameters"].items() if value != "")
    return f"{row['handle']:<12}{row['name']:<19}{parameters}".rstrip()


def _pairs(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidInput(f"{text!r} is not KEY=VALUE.")
        found[key] = value
    return found
