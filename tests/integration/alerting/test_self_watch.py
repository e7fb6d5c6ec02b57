"""Lazaret tells of itself: what fell silent, what is dead, what is back; each once."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from lazaret.alerting.model import OutboxMessage
from lazaret.alerting.self_watch import ProcessState, Watch, arrive, view_of, watch_processes
from lazaret.entrypoints.living import Life, living
from lazaret.entrypoints.office import Office
from lazaret.kernel.database import Database
from lazaret.kernel.leadership import try_lead
from lazaret.kernel.loop_health import LoopState
from lazaret.kernel.processes import Identity, beat, leave, list_processes

START = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
SILENT_S = 30.0
NOBODY = 2**22 + 1
"""No process has this number."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def who(name: str, *parts: str, host: str = "one", pid: int = 1) -> Identity:
    return Identity(name, parts, host, pid, START)


def loop(silent_s: float, error: str = "") -> LoopState:
    return LoopState("inventory", silent_s, 60, 0, error)


class Tower:
    """Time passes, processes beat, somebody looks."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._seen = 0

    async def beat(self, me: Identity, seconds: float, *loops: LoopState) -> None:
        async with self.db.transaction() as session:
            await beat(session, me, loops, at=at(seconds))

    async def arrive(self, me: Identity, seconds: float) -> None:
        await self.beat(me, seconds)
        async with self.db.transaction() as session:
            await arrive(session, me, SILENT_S, at=at(seconds))

    async def look(self, seconds: float, *, since: float = -1000) -> list[tuple[str, str]]:
        """What is told that was not told before."""
        async with self.db.transaction() as session:
            await watch_processes(session, Watch(SILENT_S, at(since)), at=at(seconds))
        return await self.told()

    async def told(self) -> list[tuple[str, str]]:
        async with self.db.transaction() as session:
            rows = list(
                await session.scalars(
                    select(OutboxMessage).where(OutboxMessage.id > self._seen).order_by(OutboxMessage.id)
                )
            )
        self._seen = max((row.id for row in rows), default=self._seen)
        return [(row.level, row.text.format(**row.data)) for row in rows]


@pytest.fixture
def tower(db: Database) -> Tower:
    return Tower(db)


async def test_a_silent_process_is_told_once_and_so_is_its_return(tower: Tower) -> None:
    monitor, worker = who("m", "monitor"), who("w", "worker")
    await tower.beat(monitor, 0)
    await tower.beat(worker, 29)
    assert await tower.look(29) == []
    await tower.beat(worker, 31)
    ((level, text),) = await tower.look(31)
    assert level == "critical"
    assert text.startswith("Lazaret's monitor on one has not been heard of for 31 s, and nobody else does its work")
    await tower.beat(worker, 50)
    assert await tower.look(50) == []
    await tower.beat(monitor, 51)
    assert await tower.look(52) == [("info", "Lazaret's monitor on one is back.")]
    assert await tower.look(53) == []


async def test_one_of_two_is_no_emergency(tower: Tower) -> None:
    await tower.beat(who("a", "worker"), 0)
    await tower.beat(who("b", "worker", host="two"), 31)
    ((level, text),) = await tower.look(31)
    assert (level, "Another one does its work" in text) == ("warning", True)


async def test_who_says_goodbye_is_not_missed(tower: Tower) -> None:
    me = who("m", "monitor")
    await tower.beat(me, 0)
    async with tower.db.transaction() as session:
        await leave(session, me, at=at(1))
    assert await tower.look(500) == []
    async with tower.db.transaction() as session:
        assert await list_processes(session) == []


async def test_who_could_not_look_blames_itself_first(tower: Tower) -> None:
    """The database was away: everybody was silent, and nobody is dead."""
    await tower.beat(who("m", "monitor"), 0)
    assert await tower.look(600, since=590) == []
    assert len(await tower.look(621, since=590)) == 1


async def test_a_dead_loop_is_told_once_and_so_is_its_return(tower: Tower) -> None:
    worker = who("w", "worker")
    await tower.beat(worker, 0, loop(60))
    assert await tower.look(0) == []
    await tower.beat(worker, 1, loop(61, "OSError"))
    ((level, text),) = await tower.look(1)
    assert (level, text.split(":")[0]) == (
        "error",
        "The loop inventory of Lazaret's worker on one has not succeeded for 61 s. Its last error",
    )
    await tower.beat(worker, 5, loop(65))
    assert await tower.look(5) == []
    async with tower.db.transaction() as session:
        (row,) = await list_processes(session)
        assert view_of(row, SILENT_S, at(5)).state is ProcessState.AILING
    await tower.beat(worker, 9, loop(0))
    assert await tower.look(9) == [("info", "The loop inventory of Lazaret's worker on one works again.")]


async def test_starting_it_again_is_a_cure_and_is_told(tower: Tower) -> None:
    """The one with the dead loop ends in order; the new one works."""
    old, new = who("w1", "worker"), who("w2", "worker")
    await tower.beat(old, 0, loop(61))
    assert len(await tower.look(0)) == 1
    async with tower.db.transaction() as session:
        await leave(session, old, at=at(1))
    await tower.arrive(new, 2)
    assert await tower.look(3) == [], "it has not passed yet"
    await tower.beat(new, 4, loop(1))
    assert await tower.look(4) == [("info", "The loop inventory of Lazaret's worker on one works again.")]


async def test_a_killed_process_that_is_started_again_at_once_alarms_nobody(tower: Tower) -> None:
    await tower.beat(who("m1", "monitor", pid=NOBODY), 0)
    await tower.arrive(who("m2", "monitor", pid=NOBODY + 1), 3)
    await tower.beat(who("m2", "monitor", pid=NOBODY + 1), 40)
    assert await tower.look(40) == []


async def test_a_killed_process_that_was_told_of_is_back_when_another_takes_its_place(tower: Tower) -> None:
    await tower.beat(who("m1", "monitor", pid=NOBODY), 0)
    assert len(await tower.look(31)) == 1
    await tower.arrive(who("m2", "monitor", pid=NOBODY + 1), 100)
    assert await tower.told() == [("info", "Lazaret's monitor on one is back.")]
    async with tower.db.transaction() as session:
        assert [row.id for row in await list_processes(session)] == ["m2"]


async def test_a_neighbour_that_runs_keeps_its_place(tower: Tower) -> None:
    await tower.beat(who("w1", "worker", pid=os.getppid()), 0)
    await tower.arrive(who("w2", "worker", pid=os.getpid()), 3)
    async with tower.db.transaction() as session:
        assert len(await list_processes(session)) == 2


async def test_a_life_from_its_beginning_to_its_goodbye(office: Office) -> None:
    async with living(office, {"worker", "api"}):
        async with office.db.transaction() as session:
            (row,) = await list_processes(session)
        assert (row.kind, row.parts, row.pid) == ("up", ["api", "worker"], os.getpid())
    async with office.db.transaction() as session:
        assert await list_processes(session) == []
        assert len(await list_processes(session, ended=True)) == 1


async def test_who_does_not_lead_tells_nothing(office: Office, tower: Tower) -> None:
    await tower.beat(who("m", "monitor"), 0)
    life = Life(office, {"worker"})
    life._looked_at = office.clock.now()
    life._looking_since = life._looked_at - timedelta(hours=1)
    async with try_lead(office.conninfo, "self_watch") as leading:
        assert leading
        await life.look()
        assert await tower.told() == []
    await life.look()
    assert len(await tower.told()) == 1
