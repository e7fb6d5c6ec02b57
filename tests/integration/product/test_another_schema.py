"""A database that this version cannot use is told, by every way in."""

import os

import pytest

from lazaret import __version__
from tests.integration.conftest import run_sql
from tests.integration.product.conftest import Shell, start_up


@pytest.mark.parametrize("command", [["up"], ["worker"], ["servers"]])
async def test_a_schema_newer_than_the_code(shell: Shell, conninfo: str, command: list[str]) -> None:
    run_sql(conninfo, "update alembic_version set version_num = '9999'")
    shell.environment["DATABASE_URL"] = conninfo
    finished = await shell.run(*command)
    assert finished.code == 1, finished
    assert f"newer than this one ({__version__})" in finished.err and "restore the backup from before" in finished.err


async def test_an_encoding_that_cannot_hold_every_text(shell: Shell, postgres: str) -> None:
    name = f"ascii_up_{os.getpid()}"
    run_sql(postgres, f"create database {name} encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'")
    shell.environment["DATABASE_URL"] = postgres.replace("/postgres?", f"/{name}?")
    finished = await shell.run("up")
    run_sql(postgres, f"drop database {name}")
    assert (finished.code, "SQL_ASCII" in finished.err, "createdb" in finished.err) == (2, True, True), finished


async def test_a_user_who_may_not_make_tables(shell: Shell, postgres: str) -> None:
    """The cure that is named is typed, and helps."""
    name = f"poor_{os.getpid()}"
    run_sql(postgres, f"create role {name} login password 'a-hidden-word'")
    run_sql(postgres, f"create database {name} encoding 'UTF8' template template0")
    shell.environment["DATABASE_URL"] = postgres.replace("//postgres:@", f"//{name}:a-hidden-word@").replace(
        "/postgres?", f"/{name}?"
    )
    refused = await shell.run("servers")
    assert (refused.code, "may not make tables" in refused.err, "a-hidden-word" in refused.err) == (2, True, False), (
        refused
    )
    run_sql(postgres, refused.err.partition("own the database: ")[2].strip())
    done = await shell.run("servers")
    run_sql(postgres, f"drop database {name}")
    run_sql(postgres, f"drop role {name}")
    assert done.code == 0, done


async def test_what_runs_goes_on_while_the_schema_is_expanded(shell: Shell, conninfo: str) -> None:
    shell.environment["DATABASE_URL"] = conninfo
    up = await start_up(shell)
    run_sql(conninfo, "alter table servers add column of_the_future text")
    run_sql(conninfo, "update alembic_version set version_num = '9999'")
    async with up.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/api/servers/")).status_code == 200
    assert await up.end() == 0
