"""What every process has: settings, database, and the desk where intents are recorded. It touches no machine."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from pydantic import SecretStr
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from lazaret import __version__, migrations
from lazaret.entrypoints.no_answer import no_answer
from lazaret.entrypoints.providers import permissions_of
from lazaret.kernel.clock import Clock, SystemClock
from lazaret.kernel.database import Database, checked_address
from lazaret.kernel.embedded_postgres import EmbeddedPostgres, embedded_place
from lazaret.kernel.errors import Conflict, Misconfigured, Unavailable
from lazaret.kernel.secrets import Redactor, SecretStore, load_or_create_key
from lazaret.kernel.settings import Settings
from lazaret.migrations import Standing
from lazaret.operations.intents import Intents
from lazaret.operations.queue import Queue
from lazaret.provisioning.requests import Desk


class SchemaNewer(Conflict):
    """The tables are those of a later version: what it wrote there we might misread."""

    code = "schema_newer"


@dataclass(frozen=True, slots=True)
class Office:
    """What every process has: the database and what may be recorded there. It touches no machine."""

    settings: Settings
    conninfo: str
    db: Database
    clock: Clock
    redactor: Redactor
    secrets: SecretStore
    desk: Desk

    @property
    def intents(self) -> Intents:
        return self.desk.intents


@asynccontextmanager
async def open_office(settings: Settings, *, redactor: Redactor) -> AsyncIterator[Office]:
    """Start or join the database, bring its schema up to date, and open what needs no provider."""
    ensure_data_dir(settings.lazaret_data_dir)
    clock = SystemClock()
    hide_secrets(settings, redactor)
    async with AsyncExitStack() as stack:
        conninfo = await database_address(settings, stack)
        await _bring_up_to_date(conninfo)
        db = await stack.enter_async_context(Database(conninfo))
        key = load_or_create_key(settings.lazaret_secret_key, settings.lazaret_data_dir)
        redactor.hide(key)
        secrets = SecretStore(key, redactor)
        yield Office(
            settings=settings,
            conninfo=db.conninfo,
            db=db,
            clock=clock,
            redactor=redactor,
            secrets=secrets,
            desk=Desk(
                Intents(
                    Queue(db.conninfo),
                    permissions=permissions_of(settings),
                    max_attempts=settings.provisioning_max_retries,
                ),
                secrets,
            ),
        )


def hide_secrets(settings: Settings, redactor: Redactor) -> None:
    """What the settings hold is never shown; of the database's address also the password alone, unless it is a name
    that stands in every other line."""
    for secret in (settings.time4vps_password, settings.telegram_bot_token, settings.lazaret_secret_key):
        if secret is not None:
            redactor.hide(secret)
    if settings.database_url is not None:
        redactor.hide(settings.database_url)
        with contextlib.suppress(Misconfigured):
            url = make_url(checked_address(settings.database_url.get_secret_value()))
            if url.password and url.password not in {url.username, url.database, "lazaret", "postgres"}:
                redactor.hide(SecretStr(str(url.password)))


async def database_address(settings: Settings, stack: AsyncExitStack) -> str:
    """Where the database is; an embedded one is started, or joined until the stack ends.

    Raises `Unavailable`, and `Misconfigured` for a DATABASE_URL that cannot be one.
    """
    if settings.database_url is not None:
        return checked_address(settings.database_url.get_secret_value())
    embedded = EmbeddedPostgres(embedded_place(settings))
    conninfo = await asyncio.to_thread(embedded.start)
    stack.push_async_callback(asyncio.to_thread, embedded.stop)
    return conninfo


async def _bring_up_to_date(conninfo: str) -> None:
    try:
        match await migrations.standing(conninfo):
            case Standing.NEWER:
                raise SchemaNewer(
                    f"The database was brought up to date by a version newer than this one ({__version__}).",
                    hint="Start that newer version. To go back, restore the backup from before the upgrade.",
                )
            case Standing.EMPTY | Standing.OLDER:
                await _upgrade(conninfo)
    except psycopg.OperationalError as error:
        reason = no_answer(conninfo, error)
        raise Unavailable(f"The database cannot be used: {reason.what}.", hint=reason.cure) from None


def ensure_data_dir(path: Path) -> None:
    """Make the data directory. Raises `Misconfigured` when it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(path, error.strerror or type(error).__name__) from None


async def _upgrade(conninfo: str) -> None:
    """Raises `Misconfigured` for a user who may not: since PostgreSQL 15 that is any but the database's owner."""
    try:
        await migrations.upgrade_schema(conninfo)
    except ProgrammingError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        url = make_url(conninfo)
        raise Misconfigured(
            f"The user {url.username} may not make tables in the database {url.database}.",
            hint=f"Let it own the database: ALTER DATABASE {url.database} OWNER TO {url.username}",
        ) from None


def unwritable(path: Path, why: str) -> Misconfigured:
    """The error of a data directory in which nothing can be kept."""
    return Misconfigured(
        f"The data directory {path} cannot be written: {why}.", hint="Set LAZARET_DATA_DIR to a directory of your own."
    )
