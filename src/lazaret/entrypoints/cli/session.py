"""What every command does the same way: settings, an office, the actor, errors as one line and an exit code.

What needs the database is imported when a command runs, so that the embedded one starts up meanwhile.
"""

import asyncio
import functools
import getpass
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import typer

from lazaret.kernel.embedded_postgres import warm_up
from lazaret.kernel.errors import Category, LazaretError
from lazaret.kernel.settings import Settings, load_settings

if TYPE_CHECKING:
    from lazaret.entrypoints.office import Office
    from lazaret.kernel.audit import Actor
    from lazaret.kernel.secrets import Redactor

WRONG_USE = frozenset({Category.INVALID, Category.NOT_FOUND, Category.UNAUTHENTICATED})

P = ParamSpec("P")
T = TypeVar("T")


def command(function: Callable[P, Awaitable[None] | None]) -> Callable[P, None]:
    """Run a command to its end; errors become one line each for what and what to do, and exit code 1 or 2."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            result = function(*args, **kwargs)
            if result is not None:
                asyncio.run(_finish(result))
        except LazaretError as error:
            fail(error)
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise typer.Exit(1) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None

    return run


async def _finish(result: Awaitable[None]) -> None:
    await result


def fail(error: LazaretError) -> NoReturn:
    """Say what is wrong and what to do, and end."""
    typer.echo(f"error: {error.message}", err=True)
    if error.hint:
        typer.echo(f"hint: {error.hint}", err=True)
    if os.environ.get("LAZARET_LOG_LEVEL") == "debug":
        logging.getLogger(__name__).debug("where it came from", exc_info=error)
    raise typer.Exit(2 if error.category in WRONG_USE else 1)


def prepare(level: str | None = None) -> "tuple[Settings, Redactor]":
    """Settings, logging at `level` or as configured, and the embedded database, where it is ours, on its way."""
    settings = load_settings()
    if settings.database_url is None:
        warm_up(settings.lazaret_data_dir / "postgres")
    from lazaret.kernel.logging import configure_logging  # noqa: PLC0415
    from lazaret.kernel.secrets import Redactor  # noqa: PLC0415

    redactor = Redactor()
    configure_logging(
        level=level or settings.lazaret_log_level, log_format=settings.lazaret_log_format, redactor=redactor
    )
    return settings, redactor


def office() -> "AbstractAsyncContextManager[Office]":
    """The office of this machine, for one command; only what goes wrong is logged."""
    settings, redactor = prepare("warning")
    from lazaret.entrypoints.office import open_office  # noqa: PLC0415

    return open_office(settings, redactor=redactor)


def actor() -> "Actor":
    """Who sits at the keyboard."""
    from lazaret.kernel.audit import Actor, Channel  # noqa: PLC0415

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return Actor(name, Channel.CLI)


def rows_of(row: Any) -> dict[str, Any]:
    """A table row as plain values, by column name."""
    return {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
