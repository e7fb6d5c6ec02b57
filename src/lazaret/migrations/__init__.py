"""The database schema, step by step. `upgrade` brings any older database to the present one.

Each step is a file of `versions`, named by its revision: `0001_the_first_schema.py`, then 0002, and so on. So every
command can compare revisions without loading Alembic, which a database that is up to date does not need.
"""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import make_url

from lazaret.kernel.errors import Misconfigured

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
REVISIONS = tuple(sorted(path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*_*.py")))
"""All that this program knows, oldest first."""
UPGRADE_LOCK = 0x4C5A52
"""Advisory lock: of several processes that start at once, one migrates and the others wait."""
TURN_POLL_S = 0.1
CREATE_UTF8 = "createdb --template template0 --encoding UTF8 NAME"
"""Makes a database that holds every text, whatever the server's own encoding is."""


async def upgrade(conninfo: str, revision: str = "head") -> None:
    """Bring the database at `conninfo` to `revision`, its bookmarks too; nothing happens when all is there already."""
    await upgrade_schema(conninfo, revision)
    await upgrade_bookmarks(conninfo)


async def upgrade_schema(conninfo: str, revision: str = "head") -> None:
    """Our own tables alone: what every process needs before it can say anything."""
    from alembic import command  # noqa: PLC0415 - loaded where it is needed, for it takes longer than our own code

    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await _take_turn(connection)
        await asyncio.to_thread(command.upgrade, alembic_config(conninfo), revision)


async def upgrade_bookmarks(conninfo: str) -> None:
    """The tables of LangGraph's checkpointer, by its own migrations: for who runs graphs or clears up behind them."""
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver  # noqa: PLC0415 - half a second

    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await _take_turn(connection)
        async with AsyncPostgresSaver.from_conn_string(conninfo) as checkpoints:
            await checkpoints.setup()


async def _take_turn(connection: psycopg.AsyncConnection[Any]) -> None:
    """Wait by asking again. A session that slept inside `pg_advisory_lock` would hold a snapshot, and the index that
    the checkpointer builds concurrently would wait for it for ever."""
    while True:
        cursor = await connection.execute("select pg_try_advisory_lock(%s)", [UPGRADE_LOCK])
        row = await cursor.fetchone()
        if row is not None and row[0]:
            return
        await asyncio.sleep(TURN_POLL_S)


async def downgrade(conninfo: str, revision: str) -> None:
    """Take the database back to an older revision. Data of newer tables is lost."""
    from alembic import command  # noqa: PLC0415

    await asyncio.to_thread(command.downgrade, alembic_config(conninfo), revision)


class Standing(StrEnum):
    """How the schema of a database stands to the one that this version knows."""

    EMPTY = "empty"
    """There is none."""
    OLDER = "older"
    """`upgrade` brings it to the present one."""
    CURRENT = "current"
    """The same."""
    NEWER = "newer"
    """It was brought to a revision that this version does not know."""


async def is_current(conninfo: str) -> bool:
    """Whether the database has the newest schema; False also for an empty one."""
    return await standing(conninfo) is Standing.CURRENT


async def standing(conninfo: str) -> Standing:
    """Looks only. Raises as `revision_of` does."""
    revision = await revision_of(conninfo)
    if revision is None:
        return Standing.EMPTY
    if revision == newest():
        return Standing.CURRENT
    return Standing.OLDER if knows(revision) else Standing.NEWER


async def revision_of(conninfo: str) -> str | None:
    """The revision that the database has; None where there is no schema.

    Raises `Misconfigured` for a database whose encoding cannot hold every text.
    """
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":  # the driver would give bytes for texts
            raise Misconfigured(
                f"The database has the encoding {encoding}, which cannot hold every text.",
                hint=f"Make one with: {CREATE_UTF8}",
            )
        cursor = await connection.execute("select to_regclass('alembic_version') is not null")
        row = await cursor.fetchone()
        if row is None or not row[0]:
            return None
        cursor = await connection.execute("select version_num from alembic_version")
        row = await cursor.fetchone()
    return str(row[0]) if row is not None else None


def newest() -> str:
    """The newest revision that this program knows."""
    return REVISIONS[-1]


def knows(revision: str) -> bool:
    """Whether the revision is one of ours; one that is not was made by a newer program."""
    return revision in REVISIONS


def alembic_config(conninfo: str) -> "Config":
    """Alembic's configuration, without a file: where the scripts are and which database is meant."""
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    address = make_url(conninfo).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", address.replace("%", "%%"))
    return config
