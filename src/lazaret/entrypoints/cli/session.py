"""What every command does the same way: settings, an office, the actor, errors as one line and an exit code.

What needs the database is imported when a command runs, so that the embedded one starts up meanwhile.
"""

import asyncio
import functools
import getpass
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import typer

from lazaret.entrypoints.cli.permissions import needs
from lazaret.kernel.embedded_postgres import embedded_place, is_there, warm_up
from lazaret.kernel.errors import Category, Forbidden, LazaretError, NotFound
from lazaret.kernel.settings import Settings, load_settings
from lazaret.kernel.texts import printable

if TYPE_CHECKING:
    from pydantic import SecretStr

    from lazaret.entrypoints.office import Office
    from lazaret.kernel.audit import Actor
    from lazaret.kernel.secrets import Redactor
    from lazaret.users.model import Role
    from lazaret.users.store import Caller

_running: ContextVar[str] = ContextVar("running", default="")
"""The command that runs, as `permissions.py` names it."""
_caller: ContextVar["Caller | None"] = ContextVar("caller", default=None)
"""The token that acts, if one does."""

WRONG_USE = frozenset({Category.INVALID, Category.NOT_FOUND, Category.UNAUTHENTICATED})

FOUNDING = frozenset({"tokens.create"})
"""Commands that may be the first ever: a token is made before what is to use it starts. Any other one would read, or
freeze, an empty installation that it had just made, in a directory whose name was misspelt."""

P = ParamSpec("P")
T = TypeVar("T")


class NothingThere(NotFound):
    """No Lazaret was ever started where this command looks for it."""

    code = "nothing_there"


def command(function: Callable[P, Awaitable[None] | None]) -> Callable[P, None]:
    """Run a command to its end; errors become one line each for what and what to do, and exit code 1 or 2."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        _running.set(f"{function.__module__.rpartition('.')[2]}.{function.__name__}")
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
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            _fail_if_away(error)
            raise

    return run


async def _finish(result: Awaitable[None]) -> None:
    await result


def _fail_if_away(error: Exception) -> None:
    """What a database that went away made of a command: it is restarted under `lazaret operations follow`."""
    from lazaret.kernel.database import away, is_away  # noqa: PLC0415

    if is_away(error):
        fail(away())


def fail(error: LazaretError) -> NoReturn:
    """Say what is wrong and what to do, and end."""
    typer.echo(printable(f"error: {error.message}"), err=True)
    if error.hint:
        typer.echo(printable(f"hint: {error.hint}"), err=True)
    if os.environ.get("LAZARET_LOG_LEVEL") == "debug":
        logging.getLogger(__name__).debug("where it came from", exc_info=error)
    raise typer.Exit(2 if error.category in WRONG_USE else 1)


def prepare(level: str | None = None, *, may_found: bool = True) -> "tuple[Settings, Redactor]":
    """Settings, logging at `level` or as configured, and the embedded database, where it is ours, on its way.

    Raises `NothingThere` where it would have to be made first, unless the command `may_found` an installation.
    """
    settings = load_settings()
    if settings.database_url is None:
        place = embedded_place(settings)
        if not may_found and not is_there(place):
            raise NothingThere(
                f"There is no Lazaret in {settings.lazaret_data_dir} yet.",
                hint="Start it: lazaret up. If it is elsewhere, set LAZARET_DATA_DIR or DATABASE_URL as it has them.",
            )
        warm_up(place)
    from lazaret.kernel.logging import configure_logging  # noqa: PLC0415
    from lazaret.kernel.secrets import Redactor  # noqa: PLC0415

    redactor = Redactor()
    configure_logging(
        level=level or settings.lazaret_log_level, log_format=settings.lazaret_log_format, redactor=redactor
    )
    return settings, redactor


@asynccontextmanager
async def office() -> "AsyncIterator[Office]":
    """The office of this machine, for one command that may run; only what goes wrong is logged."""
    settings, redactor = prepare("warning", may_found=_running.get() in FOUNDING)
    from lazaret.entrypoints.office import open_office  # noqa: PLC0415
    from lazaret.kernel.correlation import bind, new_request_id  # noqa: PLC0415

    bind(request_id=new_request_id("cli"))
    async with open_office(settings, redactor=redactor) as here:
        if settings.lazaret_token is not None:
            await _be(here, settings.lazaret_token)
        yield here


async def _be(here: "Office", token: "SecretStr") -> None:
    """Act as a token does. Raises `Unauthenticated` and `Forbidden`."""
    from lazaret.users.model import Role  # noqa: PLC0415
    from lazaret.users.store import caller_of  # noqa: PLC0415

    here.redactor.hide(token)
    async with here.db.transaction() as session:
        caller = await caller_of(session, token, at=here.clock.now())
    role = needs(_running.get())
    if not caller.role.includes(Role(role)):
        raise Forbidden(
            f"The token {caller.name!r} has the role {caller.role}; this command needs {role}.",
            hint="Ask an administrator for a token with that role, or unset LAZARET_TOKEN on the machine of Lazaret.",
        )
    _caller.set(caller)


def acting_token() -> int | None:
    """The number of the token that acts; None: whoever sits at the keyboard acts as themselves."""
    caller = _caller.get()
    return caller.token_id if caller is not None else None


def acting_role() -> "Role":
    """What whoever sits at the keyboard may do: what the token that acts may, else everything."""
    from lazaret.users.model import Role  # noqa: PLC0415

    caller = _caller.get()
    return caller.role if caller is not None else Role.ADMIN


def actor() -> "Actor":
    """Who sits at the keyboard: the token that acts, else the user of this machine."""
    from lazaret.kernel.audit import Actor, Channel  # noqa: PLC0415

    caller = _caller.get()
    if caller is not None:
        return Actor(caller.name, Channel.CLI)
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return Actor(name, Channel.CLI)


def rows_of(row: Any) -> dict[str, Any]:
    """A table row as plain values, by column name."""
    return {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
