"""What goes into a backup: every table of the database but those that are named here, and the two keys.

What is left out is true of one machine or one moment only; a table that nobody has thought about is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import psycopg
from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr

from lazaret.kernel.errors import Conflict, Misconfigured
from lazaret.kernel.settings import Settings, as_written

_BOOKMARKS = "bookmarks of operations, none of which goes on after a restore"
_JOBS = "jobs only wake a worker up; the operations are the truth"
_VISITS = "whoever was signed in signs in again"
_LIVING = "who lives, on the machine that is left behind"
_SEEN = "what was seen last; the new monitor looks for itself"

LEFT_OUT: Mapping[str, str] = {
    "alembic_version": "the schema is built by the migrations; its revision stands in the head",
    "call_budgets": "calls of the last minutes",
    "checkpoint_blobs": _BOOKMARKS,
    "checkpoint_migrations": _BOOKMARKS,
    "checkpoint_writes": _BOOKMARKS,
    "checkpoints": _BOOKMARKS,
    "login_links": _VISITS,
    "monitors": _LIVING,
    "processes": _LIVING,
    "procrastinate_events": _JOBS,
    "procrastinate_jobs": _JOBS,
    "procrastinate_periodic_defers": _JOBS,
    "procrastinate_workers": _JOBS,
    "readings": _SEEN,
    "server_health": _SEEN,
    "sign_in_tries": _VISITS,
    "sync_state": _SEEN,
    "web_sessions": _VISITS,
}
"""Tables that no backup has, each with the reason."""

SECRET_KEY = "secret.key"  # noqa: S105 - a file's name
ACCESS_KEY = "ssh/access_key"
"""The keys, by their place in a data directory."""

_TABLES = """
select c.relname, array_agg(a.attname::text order by a.attnum)
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and a.attgenerated = ''
group by c.relname
"""
_REFERENCES = """
select distinct t.relname, f.relname from pg_constraint k
join pg_class t on t.oid = k.conrelid join pg_class f on f.oid = k.confrelid
where k.contype = 'f' and t.relnamespace = current_schema()::regnamespace and t.oid <> f.oid
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the database and its columns."""

    name: str
    columns: tuple[str, ...]


async def tables_of(connection: psycopg.AsyncConnection[Any]) -> list[Table]:
    """The tables that are kept, each after those that it refers to."""
    rows = await (await connection.execute(_TABLES)).fetchall()
    found = {name: Table(name, tuple(columns)) for name, columns in rows if name not in LEFT_OUT}
    order: TopologicalSorter[str] = TopologicalSorter({name: set[str]() for name in sorted(found)})
    for name, referred in await (await connection.execute(_REFERENCES)).fetchall():
        if name in found and referred in found:
            order.add(name, referred)
    return [found[name] for name in order.static_order()]


async def keys_of(settings: Settings, key: SecretStr, connection: psycopg.AsyncConnection[Any]) -> dict[str, str]:
    """The two keys, by their place. Raises `Conflict` when they are not those that the database was used with."""
    row = await (await connection.execute("select ciphertext from secrets order by id desc limit 1")).fetchone()
    if row is not None:
        try:
            Fernet(key.get_secret_value()).decrypt(row[0])
        except InvalidToken:
            raise Conflict(
                "The secrets in the database were stored under another key than the present one.",
                hint="Make the backup where Lazaret runs, with its LAZARET_SECRET_KEY and LAZARET_DATA_DIR.",
            ) from None
    keys = {SECRET_KEY: key.get_secret_value()}
    access_key = _access_key(settings)
    if access_key is not None:
        keys[ACCESS_KEY] = access_key
    elif await _has_servers(connection):
        raise Conflict(
            "The SSH key to the servers is not in this data directory.",
            hint="Make the backup where the worker or the monitor runs, with its LAZARET_DATA_DIR.",
        )
    return keys


def _access_key(settings: Settings) -> str | None:
    path = settings.orchestrator_ssh_private_key_path or settings.lazaret_data_dir / ACCESS_KEY
    try:
        return path.read_text(encoding="utf-8").rstrip("\n") + "\n"
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"The SSH key {path} cannot be read: {type(error).__name__}.",
            hint="Make the backup as the user that Lazaret runs as.",
        ) from None


async def _has_servers(connection: psycopg.AsyncConnection[Any]) -> bool:
    cursor = await connection.execute("select exists (select from servers where provisioned_at is not null)")
    row = await cursor.fetchone()
    return bool(row and row[0])


NOT_TOLD = frozenset(
    {"database_url", "lazaret_data_dir", "lazaret_token", "lazaret_secret_key", "orchestrator_ssh_private_key_path"}
)
"""Settings that say where things are on one machine, or what the backup has itself."""


def settings_told(settings: Settings) -> dict[str, str | None]:
    """What was configured, by variable, for the person who sets up the new machine; of a secret only that it was."""
    told: dict[str, str | None] = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if name not in NOT_TOLD and value != field.get_default(call_default_factory=True):
            told[name.upper()] = None if isinstance(value, SecretStr) else as_written(value)
    return told
