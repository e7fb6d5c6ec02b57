"""What every command does the same way: settings, an office, the actor, errors as one line and an exit code."""

import asyncio
import functools
import getpass
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer

from lazaret.entrypoints.office import Office, open_office
from lazaret.kernel.audit import Actor, Channel
from lazaret.kernel.errors import Category, LazaretError
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings, load_settings

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


def prepare() -> tuple[Settings, Redactor]:
    """Settings and logging."""
    settings, redactor = load_settings(), Redactor()
    configure_logging(level=settings.lazaret_log_level, log_format=settings.lazaret_log_format, redactor=redactor)
    return settings, redactor


def office() -> AbstractAsyncContextManager[Office]:
    """The office of this machine, for one command; only what goes wrong is logged."""
    settings, redactor = load_settings(), Redactor()
    configure_logging(level="warning", log_format=settings.lazaret_log_format, redactor=redactor)
    return open_office(settings, redactor=redactor)


def actor() -> Actor:
    """Who sits at the keyboard."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return Actor(name, Channel.CLI)


def rows_of(row: Any) -> dict[str, Any]:
    """A table row as plain values, by column name."""
    return {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
