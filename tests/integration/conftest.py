"""Real PostgreSQL for every test: one embedded server for the session, one fresh database with our schema each."""

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from lazaret import migrations
from lazaret.entrypoints.office import Office
from lazaret.kernel.clock import SystemClock
from lazaret.kernel.database import Database
from lazaret.kernel.embedded_postgres import EmbeddedPostgres
from lazaret.kernel.secrets import Redactor, SecretStore
from lazaret.kernel.settings import load_settings
from lazaret.operations.intents import Intents
from lazaret.operations.queue import Queue
from lazaret.provisioning.requests import Desk
from lazaret.servers.permissions import Permissions
from tests.zygote import running_zygote, write_shim

MANAGED = frozenset({900001, 900002, 900003})
MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3
"""Bytes that the databases of all processes and a few virtual environments may need."""
_numbers = itertools.count(1)


if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
    tempfile.tempdir = str(MEMORY)  # a database is 350 files: to copy one on a disk takes up to ten times as long


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a running server."""
    directory = Path(tempfile.mkdtemp(prefix="lazaret-test-pg-"))
    directory.chmod(0o755)  # as root it runs as a user of its own
    server = EmbeddedPostgres(directory / "data")
    try:
        conninfo = server.start()
        for setting in ("fsync", "full_page_writes"):  # the tests kill it, never the machine below it
            run_sql(conninfo, f"alter system set {setting} = off")
        run_sql(conninfo, "select pg_reload_conf()")
        yield conninfo
    finally:
        server.wipe()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def zygote() -> Iterator[Path]:
    """The socket of a process that has loaded Lazaret and forks for every command."""
    with tempfile.TemporaryDirectory(prefix="lazaret-zygote-") as directory, running_zygote(Path(directory)) as path:
        yield path


@pytest.fixture(scope="session")
def program(zygote: Path) -> Path:
    """The command `lazaret`, as a fork of that process."""
    return write_shim(zygote.with_name("lazaret"), zygote)


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """Name of a database that has the present schema."""
    import asyncio

    run_sql(postgres, "create database lazaret_template")
    asyncio.run(migrations.upgrade(postgres.replace("/postgres?", "/lazaret_template?")))
    return "lazaret_template"


@pytest.fixture
def empty_conninfo(postgres: str) -> Iterator[str]:
    """Address of a fresh database without any table."""
    name = f"empty_{next(_numbers)}"
    run_sql(postgres, f"create database {name}")
    yield postgres.replace("/postgres?", f"/{name}?")
    run_sql(postgres, f"drop database {name} with (force)")


@pytest.fixture
def conninfo(postgres: str, template: str) -> Iterator[str]:
    """Address of a fresh database with the present schema."""
    name = f"test_{next(_numbers)}"
    run_sql(postgres, f"create database {name} template {template} strategy file_copy")  # a third of wal_log's cost
    yield postgres.replace("/postgres?", f"/{name}?")
    run_sql(postgres, f"drop database {name} with (force)")


def run_sql(conninfo: str, statement: str) -> None:
    """Over a connection of its own: a test may have restarted the server meanwhile."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
async def db(conninfo: str) -> AsyncIterator[Database]:
    async with Database(conninfo) as database:
        yield database


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
async def office(conninfo: str, db: Database, clock: SystemClock, tmp_path: Path) -> Office:
    """An office that manages the servers 900001 to 900003 and has no provider account."""
    redactor = Redactor()
    secrets = SecretStore(SecretStr(Fernet.generate_key().decode()), redactor)
    settings = load_settings(
        {
            "LAZARET_DATA_DIR": str(tmp_path),
            "TIME4VPS_MANAGED_SERVER_IDS": ",".join(map(str, sorted(MANAGED))),
        }
    )
    return Office(
        settings=settings,
        conninfo=conninfo,
        db=db,
        clock=clock,
        redactor=redactor,
        secrets=secrets,
        desk=Desk(
            Intents(Queue(conninfo), permissions=Permissions({"time4vps": lambda: MANAGED}), max_attempts=3), secrets
        ),
    )
