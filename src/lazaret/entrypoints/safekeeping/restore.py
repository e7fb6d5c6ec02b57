"""Restores a backup into an installation in which nothing is yet. It is read whole before anything is changed.

What the restored machine may do is not decided here: see `parking`.
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from json import loads
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from lazaret import __version__, migrations
from lazaret.entrypoints.office import database_address, ensure_data_dir
from lazaret.entrypoints.safekeeping.archive import Kind, frames
from lazaret.entrypoints.safekeeping.backup import PLAIN_TEXT, copy_statement
from lazaret.entrypoints.safekeeping.contents import ACCESS_KEY, SECRET_KEY, Table, tables_of
from lazaret.entrypoints.safekeeping.parking import Parked, end_what_ran, move_numbers_on, park
from lazaret.kernel import audit
from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.kernel.errors import Conflict, InvalidInput, LazaretError, Unavailable
from lazaret.kernel.sealed import SealedReader
from lazaret.kernel.secrets import write_private
from lazaret.kernel.settings import Settings

ALIVE = timedelta(seconds=60)
"""A process that was heard of so lately is taken to live."""


_STRANGERS = (
    "select relname from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'r' limit 1"
)


class NewerBackup(InvalidInput):
    """The backup was made by a program that came after this one."""

    code = "newer_backup"


class TargetInUse(Conflict):
    """There is something where the backup is to be restored."""

    code = "target_in_use"


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was read to its end and found whole: what it says of itself, and its number of rows by table."""

    path: Path
    passphrase: SecretStr
    made_at: datetime
    host: str
    version: str
    schema: str
    keys: dict[str, str]
    settings: dict[str, str | None]
    counts: dict[str, int]

    @property
    def origin(self) -> str:
        return f"made {self.made_at:%Y-%m-%d %H:%M} UTC on {self.host} by Lazaret {self.version}"

    @contextmanager
    def frames(self) -> Iterator[Iterator[tuple[Kind, bytes]]]:
        """Its frames, from the first one on."""
        with _opened(self.path) as file:
            yield frames(SealedReader(file, self.passphrase))


def check_readable(path: Path) -> None:
    """Before anybody is asked for a passphrase. Raises `InvalidInput`."""
    with _opened(path):
        pass


def look_into(path: Path, passphrase: SecretStr) -> Backup:
    """Read the whole file and prove it. Changes nothing. Raises what `SealedReader` raises, and `NewerBackup`."""
    head: dict[str, Any] = {}
    counts: dict[str, int] = {}
    with _opened(path) as file:
        for kind, content in frames(SealedReader(file, passphrase)):
            if kind is Kind.HEAD:
                head = loads(content)
            elif kind is Kind.END:
                counts = loads(content)
    if not migrations.knows(head["schema"]):
        raise NewerBackup(
            f"The backup was made by Lazaret {head['version']} with the schema {head['schema']}; "
            f"this is {__version__}, which knows up to {migrations.newest()}.",
            hint="Install the version that made it, or a newer one, and restore there.",
        )
    made_at = datetime.fromisoformat(head.pop("made_at"))
    return Backup(path=path, passphrase=passphrase, made_at=made_at, counts=counts, **head)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, for reading. Raises `InvalidInput`."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror or error}.", hint="Name a file that `lazaret backup` has made."
        ) from None


async def restore(
    settings: Settings, backup: Backup, actor: audit.Actor, clock: Clock, *, revoke_tokens: bool = False
) -> Parked:
    """Bring it back: database, keys, everything at rest.

    Raises `TargetInUse` where there is anything already; then, and after any other error, nothing is changed but that
    an empty database may have its tables.
    """
    missing = missing_keys(settings, backup)
    ensure_data_dir(settings.lazaret_data_dir)
    async with AsyncExitStack() as stack:
        conninfo = await database_address(settings, stack)
        try:
            await _require_unused(conninfo, settings, clock)
            await _make_schema(conninfo, backup.schema)
            with _written_keys(settings.lazaret_data_dir, missing):
                await _fill(conninfo, backup, actor, clock)
        except (psycopg.Error, SQLAlchemyError) as error:
            raise Unavailable(
                f"The database does not take the backup: {type(error).__name__}.",
                hint="Check that PostgreSQL runs and that DATABASE_URL names an empty database of UTF8.",
            ) from error
        await migrations.upgrade_schema(conninfo)
        async with Database(conninfo) as db, db.transaction() as session:
            return await end_what_ran(session, actor, backup.origin, at=clock.now(), revoke_tokens=revoke_tokens)


def missing_keys(settings: Settings, backup: Backup) -> dict[str, str]:
    """The keys that are to be written. Raises `TargetInUse` where another key is, or is configured."""
    configured: dict[str, tuple[str, str | None]] = {SECRET_KEY: ("LAZARET_SECRET_KEY", None)}
    if settings.lazaret_secret_key is not None:
        configured[SECRET_KEY] = ("LAZARET_SECRET_KEY", settings.lazaret_secret_key.get_secret_value())
    key_path = settings.orchestrator_ssh_private_key_path
    named = _content_of(key_path) if key_path is not None else None
    configured[ACCESS_KEY] = ("ORCHESTRATOR_SSH_PRIVATE_KEY_PATH", named)
    missing = {}
    for place, content in backup.keys.items():
        variable, given = configured[place]
        if given is not None and given.strip() != content.strip():
            raise TargetInUse(
                f"{variable} is another key than the one in the backup.",
                hint=f"Unset {variable}, or empty the file that it comes from: the backup brings its own.",
            )
        present = _content_of(settings.lazaret_data_dir / place)
        if present is not None and present.strip() != content.strip():
            raise TargetInUse(f"{settings.lazaret_data_dir} has another key already: {place}.", hint=_another(settings))
        if given is None and present is None:
            missing[place] = content
    return missing


def _content_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {type(error).__name__}.", hint="Restore as the user that Lazaret runs as."
        ) from None


def _another(settings: Settings) -> str:
    """How to come to a place in which nothing is."""
    if settings.database_url is not None:
        return "Make an empty database, name it in DATABASE_URL, and an empty directory for LAZARET_DATA_DIR."
    there = settings.lazaret_data_dir
    return f"Stop Lazaret and move it out of the way (mv {there} {there}.before), or set LAZARET_DATA_DIR to a new one."


async def _require_unused(conninfo: str, settings: Settings, clock: Clock) -> None:
    """Raise `TargetInUse` unless no table that a backup has holds a row, and nobody runs on this database."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        revision = await migrations.revision_of(conninfo)
        if revision is None:
            row = await (await connection.execute(_STRANGERS)).fetchone()
            if row is not None:
                raise TargetInUse(f"The database belongs to something else: it has {row[0]}.", hint=_another(settings))
            return
        if not migrations.knows(revision):
            raise TargetInUse(f"The database has a newer schema already: {revision}.", hint=_another(settings))
        for table in await tables_of(connection):
            query = sql.SQL("select count(*) from {}").format(sql.Identifier(table.name))
            row = await (await connection.execute(query)).fetchone()
            if row is not None and row[0]:
                what = f"{row[0]} rows in {table.name}" if row[0] > 1 else f"a row in {table.name}"
                raise TargetInUse(f"The database is in use: it has {what}.", hint=_another(settings))
        await _require_nobody_there(connection, clock)


async def _require_nobody_there(connection: psycopg.AsyncConnection[Any], clock: Clock) -> None:
    row = await (await connection.execute("select to_regclass('processes') is not null")).fetchone()
    if row is None or not row[0]:
        return
    query = "select host, pid from processes where ended_at is null and seen_at > %s limit 1"
    alive = await (await connection.execute(query, [clock.now() - ALIVE])).fetchone()
    if alive is not None:
        raise TargetInUse(
            f"Lazaret runs on this database: process {alive[1]} on {alive[0]}.",
            hint="Stop it, wait a minute, and restore again.",
        )


async def _make_schema(conninfo: str, revision: str) -> None:
    """The schema of the backup, whatever an empty database has."""
    present = await migrations.revision_of(conninfo)
    if present is not None and present > revision:
        await migrations.downgrade(conninfo, revision)
    await migrations.upgrade_schema(conninfo, revision)


@contextmanager
def _written_keys(data_dir: Path, keys: dict[str, str]) -> Iterator[None]:
    """The keys in their places, unless the block fails."""
    written: list[Path] = []
    try:
        for place, content in keys.items():
            write_private(data_dir / place, content.encode())
            written.append(data_dir / place)
        yield
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


async def _fill(conninfo: str, backup: Backup, actor: audit.Actor, clock: Clock) -> None:
    """All rows, and that nothing of them goes on by itself, in one transaction."""
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        await connection.execute(PLAIN_TEXT)
        with backup.frames() as read:
            await _copy_in(connection, read, backup.counts)
        tables = await tables_of(connection)
        await move_numbers_on(connection, tables)
        await park(connection, actor, backup.origin, at=clock.now())
        await connection.commit()


async def _copy_in(
    connection: psycopg.AsyncConnection[Any], read: Iterator[tuple[Kind, bytes]], counts: dict[str, int]
) -> None:
    known = {table.name: set(table.columns) for table in await tables_of(connection)}
    ahead = next(read, None)
    while ahead is not None:
        kind, content = ahead
        ahead = next(read, None)
        if kind is not Kind.TABLE:
            continue
        table = _table_of(content, known)
        async with connection.cursor() as cursor:
            async with cursor.copy(copy_statement("copy {} ({}) from stdin", table.name, table.columns)) as rows:
                while ahead is not None and ahead[0] is Kind.ROWS:
                    await rows.write(ahead[1])
                    ahead = next(read, None)
            if cursor.rowcount != counts[table.name]:
                raise LazaretError(
                    f"{table.name} has {cursor.rowcount} rows instead of {counts[table.name]}.",
                    hint="Nothing was restored. Take another backup, and report this.",
                )


def _table_of(content: bytes, known: dict[str, set[str]]) -> Table:
    described = loads(content)
    table = Table(described["name"], tuple(described["columns"]))
    strangers = set(table.columns) - known.get(table.name, set())
    if table.name not in known or strangers:
        raise NewerBackup(
            f"The backup has what this Lazaret does not know: {table.name} {' '.join(sorted(strangers))}".strip() + ".",
            hint="Install the version that made it, or a newer one, and restore there.",
        )
    return table
