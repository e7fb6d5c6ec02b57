"""Where graphs keep their bookmarks: LangGraph's saver over a pool of our own."""

from contextlib import AsyncExitStack

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from lazaret import migrations


async def open_checkpoints(conninfo: str, stack: AsyncExitStack, *, most: int) -> AsyncPostgresSaver:
    """A saver over at most `most` connections, each checked before use, so that a restarted database is survived."""
    await migrations.upgrade_bookmarks(conninfo)
    pool = AsyncConnectionPool(
        conninfo,
        min_size=1,
        max_size=most,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    await stack.enter_async_context(pool)
    return AsyncPostgresSaver(pool)  # type: ignore[arg-type] # the pool yields dict rows by its row_factory
