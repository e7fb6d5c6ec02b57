"""How the command line shows things: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lazaret.kernel.texts import printable, printable_json

STYLES = {
    "ready": "green",
    "in_use": "green",
    "succeeded": "green",
    "resolved": "green",
    "provisioning": "cyan",
    "running": "cyan",
    "force_rebuild": "magenta",
    "pending_setup": "cyan",
    "queued": "cyan",
    "waiting": "yellow",
    "recovering": "yellow",
    "detected": "yellow",
    "alive": "green",
    "ailing": "yellow",
    "silent": "bold red",
    "error": "bold red",
    "failed": "bold red",
    "ok": "green",
    "missing": "yellow",
    "unknown": "yellow",
    "broken": "bold red",
}


def console() -> Console:
    """Standard output; as wide as the terminal, or without limit when piped."""
    made = Console(highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(highlight=False, width=200)


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """A list of objects."""
    typer.echo(printable_json(json.dumps(list(rows), default=_plain, ensure_ascii=False, indent=2)))


def print_line(text: str, *, err: bool = False) -> None:
    """A line, or lines, in which something stands that servers, providers or people wrote."""
    typer.echo(printable(text), err=err)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence `empty` that says what to do about there being nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
        count += 1
    if count:
        console().print(table)
    else:
        typer.echo(empty)


def print_fields(fields: Mapping[str, object]) -> None:
    """One thing, field by field; empty ones are left out."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", [], {}):
            table.add_row(name, _cell(value))
    console().print(table)


def age(moment: datetime | None) -> str:
    """How long ago, in the largest unit that fits."""
    if moment is None:
        return "never"
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _cell(value: object) -> Text:
    text = printable(_in_words(value))
    return Text(text, style=STYLES.get(text, ""))


def _in_words(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case list() | tuple():
            return ", ".join(map(_in_words, value))
        case _:
            return str(value)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
