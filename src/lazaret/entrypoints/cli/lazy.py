"""Commands that are imported when they are called: `lazaret servers` must not wait for LangGraph and Ansible.

The table in `main.py` says each command's place and its one sentence; a test holds the sentences against the commands.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from lazaret.entrypoints.cli.typed import guarded


@dataclass(frozen=True, slots=True)
class Lazy:
    """One command: its name, its place as `module:attribute`, and its sentence in the list of commands.

    The attribute is a function, or a `typer.Typer` for a group of commands.
    """

    name: str
    place: str
    says: str

    def load(self) -> Any:
        """The real command."""
        module, _, attribute = self.place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            app.command(self.name)(found)
            found = app
        command = typer.main.get_command(found)
        command.name = self.name
        return guarded(command)


class LazyGroup(TyperGroup):
    """Knows names and sentences, and loads the command that is to run."""

    table: ClassVar[Mapping[str, Lazy]] = {}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As the library's, but with the real command in the place of its sentence."""
        name, command, rest = super().resolve_command(ctx, args)
        lazy = self.table.get(name or "")
        return name, lazy.load() if lazy is not None else command, rest


def lazy_app(table: tuple[Lazy, ...], **settings: Any) -> typer.Typer:
    """A Typer app of these commands."""
    group = type("Group", (LazyGroup,), {"table": {lazy.name: lazy for lazy in table}})
    app = typer.Typer(cls=group, **settings)
    for lazy in table:
        app.command(lazy.name, help=lazy.says)(_stands_in)
    return app


def _stands_in() -> None:
    """Is listed and never called."""
    raise AssertionError("resolve_command puts the real command in this one's place")
