"""The schema: up, down and up again; the same as the models; the audit log cannot be rewritten."""

import asyncio

import psycopg
import pytest
from alembic import command

from lazaret import migrations


async def test_up_down_up(empty_conninfo: str) -> None:
    assert not await migrations.is_current(empty_conninfo)
    await migrations.upgrade(empty_conninfo)
    assert await migrations.is_current(empty_conninfo)
    await migrations.downgrade(empty_conninfo, "base")
    with psycopg.connect(empty_conninfo) as connection:
        left = connection.execute(
            "select tablename from pg_tables where schemaname = 'public' and tablename not like 'checkpoint%'"
        ).fetchall()
    assert left == [("alembic_version",)]
    await migrations.upgrade(empty_conninfo)
    assert await migrations.is_current(empty_conninfo)


async def test_models_and_migrations_agree(conninfo: str) -> None:
    await asyncio.to_thread(command.check, migrations.alembic_config(conninfo))


async def test_several_processes_may_migrate_at_once(empty_conninfo: str) -> None:
    await asyncio.gather(*(migrations.upgrade(empty_conninfo) for _ in range(3)))
    assert await migrations.is_current(empty_conninfo)


@pytest.mark.parametrize(
    "statement", ["update audit_log set actor = 'x'", "delete from audit_log", "truncate audit_log"]
)
def test_audit_log_is_append_only(conninfo: str, statement: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "insert into audit_log (at, actor, channel, action, subject, details)"
            " values (now(), 'a', 'cli', 'b', 'c', '{}')"
        )
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement)
        assert connection.execute("select count(*) from audit_log").fetchone() == (1,)
