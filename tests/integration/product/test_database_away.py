"""A database that goes away under a command: one line for what and what to do, as for every other error."""

import asyncio
from datetime import UTC, datetime

import psycopg

from lazaret.kernel.database import Database
from lazaret.operations.model import Operation
from tests.database import away
from tests.integration.product.conftest import Shell
from tests.integration.rows import add_server


async def test_following_an_operation_while_the_database_is_restarted(
    shell: Shell, conninfo: str, db: Database
) -> None:
    shell.environment["DATABASE_URL"] = f"{conninfo}&application_name=follower"
    now = datetime.now(UTC)
    async with db.transaction() as session:
        await add_server(session, "vps-7", at=now)
        operation = Operation(
            server_handle="vps-7", kind="provision", requested_by="cli:ann", max_attempts=3, due_at=now, created_at=now
        )
        session.add(operation)
        await session.flush()
    following = asyncio.create_task(shell.run("operations", "follow", str(operation.id)))
    async with asyncio.timeout(30):
        while not has_looked(conninfo):
            await asyncio.sleep(0.1)
    with away(conninfo):
        finished = await following
    assert (finished.code, finished.err.splitlines()) == (
        1,
        ["error: The database does not answer.", "hint: Try again in a moment."],
    ), finished


def has_looked(conninfo: str) -> bool:
    """Whether the follower has asked for the operation's events once."""
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(
            "select from pg_stat_activity where application_name = 'follower' and query ~ 'operation_events|COMMIT'"
        ).fetchone()
    return row is not None
