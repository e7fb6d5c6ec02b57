"""Processes of the version before run on while the schema is already the new one: what they write is still taken."""

from typing import Any

import psycopg
from psycopg import sql

from lazaret import migrations
from lazaret.kernel import audit
from lazaret.kernel.clock import SystemClock
from lazaret.kernel.database import Database
from lazaret.kernel.processes import Identity, beat
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link
from tests.example_fleet import add_example_fleet
from tests.unit.test_migrations import FIRST_HELD

BEFORE = f"{FIRST_HELD - 1:04d}"
Columns = dict[str, dict[str, str]]


def columns_of(connection: psycopg.Connection[Any]) -> Columns:
    """Type of each column, by table."""
    found: Columns = {}
    for table, column, kind in connection.execute(
        "select table_name, column_name, udt_name from information_schema.columns where table_schema = 'public'"
        " and table_name not like 'procrastinate%' and table_name <> 'alembic_version'"
    ):
        found.setdefault(table, {})[column] = kind
    return found


async def test_rows_of_the_older_shape_are_still_taken(empty_conninfo: str) -> None:
    """Every row that we know how to make, written anew with no column but those that the older version knows."""
    await migrations.upgrade_schema(empty_conninfo, BEFORE)
    with psycopg.connect(empty_conninfo) as connection:
        older = columns_of(connection)
    await migrations.upgrade_schema(empty_conninfo)
    now = SystemClock().now()
    async with Database(empty_conninfo) as db, db.transaction() as session:
        await add_example_fleet(session, at=now)
        await beat(session, Identity.of_this_process(["worker"], at=now), [], at=now)
        audit.record(session, audit.WORKER, "something", "server:vps-1", at=now)
        await create_login_link(session, "ann", Role.VIEWER, audit.WORKER, at=now)
    with psycopg.connect(empty_conninfo, autocommit=True) as connection:
        newer = columns_of(connection)
        for table, columns in older.items():
            assert columns.items() <= newer.get(table, {}).items(), f"{table} lost a column, or its type"
        grown = {table for table, columns in newer.items() if table in older and columns != older[table]}
        written = {table for table, columns in older.items() if _write_again(connection, table, list(columns))}
    assert grown <= written, "a table has grown of which tests/example_fleet.py has no row: add one"
    assert len(written) >= 15, sorted(written)


def _write_again(connection: psycopg.Connection[Any], table: str, columns: list[str]) -> int:
    """Take every row out and write it by an older version's columns alone; checks and unique indexes look at each."""
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")  # rows of other tables need not be there
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        one = sql.Identifier(table)
        connection.execute(
            sql.SQL("create temporary table taken on commit drop as select {} from {}").format(names, one)
        )
        connection.execute(sql.SQL("delete from {}").format(one))
        return connection.execute(
            sql.SQL("insert into {one} ({names}) select {names} from taken").format(one=one, names=names)
        ).rowcount
