"""Writes docs/cli.md from the commands themselves: `python -m lazaret.entrypoints.cli.doc`. Pure."""

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import typer

from lazaret.entrypoints.cli.main import COMMANDS

_KINDS: dict[object, str] = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}


def cli_page() -> str:
    """The whole page: every command with its arguments and options."""
    commands = [found for lazy in COMMANDS for found in _commands(lazy.load(), f"lazaret {lazy.name}")]
    lines = [
        "# Command line",
        "",
        "Generated from the commands by `make docs`. Exit codes: 0 done, 1 failed, 2 wrong use. Errors say what is",
        "wrong and what to do. What reads takes `--json`: a list of objects whose keys are the API's field names.",
        "",
        *(f"- [`{path}`](#{_anchor(path)}): {_whole(command)}" for path, command in commands),
    ]
    for path, command in commands:
        lines += ["", f"## {path}", "", _whole(command), "", f"    {_usage(path, command)}"]
        rows = [row for parameter in command.params if (row := _row(parameter))]
        if rows:
            lines += ["", "| | |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, in the order of the help."""
    children = getattr(command, "list_commands", None)
    if children is None or getattr(command, "invoke_without_command", False):
        yield path, command
    if children is not None:
        context = typer.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from _commands(child, f"{path} {name}")


def _usage(path: str, command: Any) -> str:
    pieces = [path]
    pieces += [_argument(one) for one in command.params if one.param_type_name == "argument"]
    if any(_row(one) for one in command.params if one.param_type_name == "option"):
        pieces.append("[OPTIONS]")
    return " ".join(pieces)


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).strip("[]").upper()
    many = "..." if parameter.nargs == -1 else ""
    return f"{name}{many}" if parameter.required else f"[{name}{many}]"


def _row(parameter: Any) -> str:
    """One line of the table, empty for what is not shown."""
    if getattr(parameter, "hidden", False) or parameter.name == "help":
        return ""
    text = " ".join((getattr(parameter, "help", "") or "").split()).replace("|", "\\|")
    if parameter.param_type_name == "argument":
        return f"| `{_argument(parameter)}` | {text} |"
    names = "`, `".join((*parameter.opts, *parameter.secondary_opts))
    annotation = parameter.type_descriptor.annotation
    kinds = (annotation, *get_args(annotation))
    choices = next((list(one) for one in kinds if isinstance(one, type) and issubclass(one, Enum)), [])
    kind = "" if annotation is bool else f" {(parameter.metavar or _KINDS.get(annotation, 'VALUE')).upper()}"
    if choices:
        kind, text = "", f"{text} One of {', '.join(_code(one) for one in choices)}."
    default = parameter.default
    if isinstance(default, int | float | str) and not isinstance(default, bool) and default != "":
        text = f"{text} Default: `{getattr(default, 'value', default)}`."
    return f"| `{names}`{kind} | {text.strip()} |"


def _code(value: object) -> str:
    return f"`{getattr(value, 'value', value)}`"


def _whole(command: Any) -> str:
    return " ".join((command.help or "").split())


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(cli_page())
