"""One of many: a loop that may run in several processes, and does its work in one at a time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg


@asynccontextmanager
async def try_lead(conninfo: str, name: str) -> AsyncIterator[bool]:
    """True for the one process that leads `name` while the block runs; the lock goes with the connection."""
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        cursor = await connection.execute("select pg_try_advisory_lock(hashtext(%s))", [f"lazaret.{name}"])
        row = await cursor.fetchone()
        yield bool(row and row[0])
