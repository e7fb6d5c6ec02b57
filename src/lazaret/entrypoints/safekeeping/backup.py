"""Writes a backup: one moment of the database and the keys, sealed, under its name only when it is whole."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from psycopg import sql
from pydantic import SecretStr

from lazaret import __version__, migrations
from lazaret.entrypoints.office import Office
from lazaret.entrypoints.safekeeping.archive import ArchiveWriter
from lazaret.entrypoints.safekeeping.contents import keys_of, settings_told, tables_of
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, InvalidInput, Unavailable
from lazaret.kernel.sealed import COST, SealedWriter
from lazaret.kernel.secrets import load_or_create_key

PLAIN_TEXT = "set client_encoding to 'UTF8'; set datestyle to 'ISO, YMD'; set intervalstyle to 'postgres'"
"""However the server is configured, rows read the same."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    counts: dict[str, int]
    """Rows by table."""
    size: int


async def write_backup(
    office: Office, path: Path, passphrase: SecretStr, actor: audit.Actor, *, replace: bool = False, cost: int = COST
) -> Written:
    """Back up into `path`, mode 0600. Nothing is left behind when it fails. Raises `InvalidInput` and `Conflict`."""
    check_name(path, replace=replace)
    with private_draft(path) as file:
        try:
            counts = await _write(office, SealedWriter(file, passphrase, cost=cost))
        except psycopg.Error as error:
            raise Unavailable(
                f"The database broke off: {type(error).__name__}.", hint="Nothing was written. Try again."
            ) from None
    size = path.stat().st_size  # noqa: ASYNC240 - one look
    async with office.db.transaction() as session:
        audit.record(session, actor, "backup.write", "backup", at=office.clock.now(), file=path.name, size=size)
    return Written(counts, size)


def check_name(path: Path, *, replace: bool) -> None:
    """Whether a backup may be written there. Raises `InvalidInput` and `Conflict`."""
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no directory {path.parent}.", hint="Name a file in a directory that exists.")
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path} is not a file.", hint="Name a new file, or an earlier backup with --replace.")
    if path.exists() and not replace:
        raise Conflict(f"{path} exists.", hint="Give another name, or --replace to overwrite it.")


async def _write(office: Office, sealed: SealedWriter) -> dict[str, int]:
    key = load_or_create_key(office.settings.lazaret_secret_key, office.settings.lazaret_data_dir)
    counts: dict[str, int] = {}
    async with await psycopg.AsyncConnection.connect(office.conninfo, autocommit=True) as connection:
        await connection.execute(PLAIN_TEXT)
        await connection.execute("begin isolation level repeatable read read only")
        head = {
            "made_at": office.clock.now().isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "version": __version__,
            "schema": await migrations.revision_of(office.conninfo),
            "keys": await keys_of(office.settings, key, connection),
            "settings": settings_told(office.settings),
        }
        archive = ArchiveWriter(sealed, head)
        for table in await tables_of(connection):
            archive.begin_table(table.name, table.columns)
            counts[table.name] = await _copy_out(connection, table.name, table.columns, archive)
        archive.end(counts)
        await connection.execute("commit")
    return counts


async def _copy_out(
    connection: psycopg.AsyncConnection[Any], table: str, columns: tuple[str, ...], archive: ArchiveWriter
) -> int:
    async with connection.cursor() as cursor:
        async with cursor.copy(copy_statement("copy {} ({}) to stdout", table, columns)) as rows:
            async for data in rows:
                archive.rows(bytes(data))
        return cursor.rowcount


def copy_statement(text: str, table: str, columns: tuple[str, ...]) -> sql.Composed:
    """`text` with the table and its columns in place of the braces, quoted."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL(text).format(sql.Identifier(table), names)


@contextmanager
def private_draft(path: Path) -> Iterator[BinaryIO]:
    """A file for our eyes only beside `path`, which takes its name when the block ends well and goes otherwise."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Name a file on a disk with room, where you may write.",
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink()
