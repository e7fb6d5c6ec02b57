"""Live signals between processes over PostgreSQL's LISTEN and NOTIFY.

A signal only says that there is something to read; what is true stands in the tables. A lost signal costs time,
never truth.
"""

import asyncio
from collections.abc import AsyncIterator

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.logging import get_logger

logger = get_logger(__name__)

CHANNEL = "lazaret"


async def announce(session: AsyncSession, topic: str, payload: str) -> None:
    """Send `topic` and `payload` to every listener once the caller's transaction commits."""
    await session.execute(text("select pg_notify(:channel, :body)"), {"channel": CHANNEL, "body": f"{topic} {payload}"})


async def listen(conninfo: str, *, retry_s: float = 1.0) -> AsyncIterator[tuple[str, str]]:
    """Topics and payloads as they are announced. Reconnects for ever.

    Yields `("listening", "")` whenever it begins to hear, the first time too: what was announced before was not heard.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                yield "listening", ""
                async for notify in connection.notifies():
                    topic, _, payload = notify.payload.partition(" ")
                    yield topic, payload
        except psycopg.OperationalError as error:
            logger.warning("signals.connection_lost", error=type(error).__name__)
            await asyncio.sleep(retry_s)
