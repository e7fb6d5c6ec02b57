"""How much processes log for a while: who is asked, for how long, and that it is written down."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from sqlalchemy import select

from lazaret.entrypoints.living import Life
from lazaret.entrypoints.office import Office
from lazaret.kernel.audit import Actor, AuditEntry, Channel
from lazaret.kernel.clock import ManualClock
from lazaret.kernel.errors import InvalidInput, NotFound
from lazaret.kernel.log_level import Follower, ask_log_level
from lazaret.kernel.logging import Level, configure_logging
from lazaret.kernel.processes import Identity, LogWish, beat
from lazaret.kernel.secrets import Redactor

START = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ANN = Actor("ann", Channel.CLI)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """As a process that is to log from `info` on."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(level="info", log_format="console", redactor=Redactor())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def logged() -> str:
    return logging.getLevelName(logging.getLogger().level).lower()


async def test_those_that_are_meant_are_asked_and_it_is_written_down(office: Office) -> None:
    async with office.db.transaction() as session:
        for name, *parts in (("a", "worker"), ("b", "worker"), ("c", "monitor"), ("d", "api", "worker")):
            await beat(session, Identity(name, tuple(parts), "one", 1, START), [], at=START)

    async def asked(process: str) -> set[str]:
        async with office.db.transaction() as session:
            rows = await ask_log_level(session, Level.DEBUG, ANN, process=process, lasting=HOUR, at=START)
            return {row.id for row in rows}

    assert await asked("worker") == {"a", "b", "d"}
    assert await asked("c") == {"c"}
    assert await asked("up") == {"d"}
    assert await asked("") == {"a", "b", "c", "d"}
    with pytest.raises(NotFound) as missing:
        await asked("bot")
    assert "lazaret processes" in missing.value.hint
    async with office.db.transaction() as session:
        entries = list(await session.scalars(select(AuditEntry).where(AuditEntry.action == "log_level.set")))
        assert {(one.actor, one.subject) for one in entries} >= {("ann", "process:a"), ("ann", "process:c")}
        assert entries[0].details["until"] == (START + HOUR).isoformat()
        with pytest.raises(InvalidInput, match="longer than a day"):
            await ask_log_level(session, Level.DEBUG, ANN, lasting=timedelta(hours=25), at=START)


async def test_a_process_follows_with_its_next_beat_and_goes_back_by_itself(office: Office) -> None:
    clock = ManualClock(START)
    life = Life(Office(**{**{f: getattr(office, f) for f in office.__slots__}, "clock": clock}), ["worker"])
    await life.begin()
    async with office.db.transaction() as session:
        await ask_log_level(session, Level.DEBUG, ANN, lasting=timedelta(minutes=15), at=START)
    assert logged() == "info"
    await life._beat()
    assert (logged(), logging.getLogger("httpx").level) == ("debug", logging.WARNING)
    clock.advance(15 * 60)
    await life._beat()
    assert logged() == "info"
    async with office.db.transaction() as session:
        await ask_log_level(session, Level.ERROR, ANN, lasting=HOUR, at=clock.now())
    await life._beat()
    assert logged() == "error"
    async with office.db.transaction() as session:
        await ask_log_level(session, None, ANN, at=clock.now())
    await life._beat()
    assert logged() == "info"


def test_the_end_comes_without_a_database_too() -> None:
    follower = Follower()
    follower.follow(LogWish("error", START + HOUR), START)
    assert logged() == "error"
    follower.look(START + HOUR)
    assert logged() == "info"
