"""What the monitor writes down, on real tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from lazaret.kernel.database import Database
from lazaret.probing import store
from lazaret.probing.model import Monitor
from lazaret.probing.reading import DiskUse, FullReading, Reading
from lazaret.probing.verdict import Condition, Phase, Verdict
from lazaret.servers.store import get_server
from tests.integration.rows import add_server

START = datetime(2026, 1, 1, 10, 5, tzinfo=UTC)
WELL = Verdict(Phase.WELL, None, (), "It answers.", None)
LOST = Verdict(Phase.LOST, Condition.SILENT, (), "Silent.", START)
FULL = FullReading("m", {"/": DiskUse(20, 5, 40), "/data": DiskUse(70.5, 1, 9)}, None, True, (), False, "v")
READING = Reading(START, "b", 100.5, 0.25, 2000, 1500, 0.1, FULL)


async def write(db: Database, *rows: store.HealthRow, seconds: float = 0) -> None:
    async with db.transaction() as session:
        await store.write_health(session, rows, monitor="m", vantage="main", at=START + timedelta(seconds=seconds))


async def test_a_reading_is_written_with_its_sample_and_the_time_of_the_check(db: Database) -> None:
    async with db.transaction() as session:
        await add_server(session, "vps-1", at=START)
        await add_server(session, "vps-2", at=START)
    await write(db, store.HealthRow("vps-1", WELL, READING), store.HealthRow("vps-2", WELL, None))
    async with db.transaction() as session:
        (health,) = await store.health_of(session, "vps-1")
        (sample,) = await store.samples_of(session, "vps-1", since=START)
        checked = [(await get_server(session, handle)).last_health_check for handle in ("vps-1", "vps-2")]
        assert await store.samples_of(session, "vps-2", since=START) == []
    assert (health.read_at, health.reading) == (START, store.reading_as_json(READING))
    assert (sample.at, sample.slot, sample.load_1m, sample.uptime_s) == (START, 605, 0.25, 100.5)
    assert (sample.memory_available_mb, sample.disk_used_percent) == (1500, 70.5)
    assert checked == [START, None]


async def test_a_verdict_without_reading_keeps_the_newest_one(db: Database) -> None:
    async with db.transaction() as session:
        await add_server(session, "vps-1", at=START)
    await write(db, store.HealthRow("vps-1", WELL, READING))
    await write(db, store.HealthRow("vps-1", WELL, None), seconds=5)
    await write(db, store.HealthRow("vps-1", LOST, None), seconds=10)
    async with db.transaction() as session:
        (health,) = await store.health_of(session, "vps-1")
    assert (health.phase, health.condition, health.since) == ("lost", "silent", START + timedelta(seconds=10))
    assert (health.read_at, health.reading) == (START, store.reading_as_json(READING))


async def test_the_same_minute_of_the_next_day_writes_over(db: Database) -> None:
    async with db.transaction() as session:
        await add_server(session, "vps-1", at=START)
    later = replace(READING, at=START + timedelta(days=1), load_1m=7.0)
    for reading in (READING, later):
        await write(db, store.HealthRow("vps-1", WELL, reading))
    async with db.transaction() as session:
        samples = await store.samples_of(session, "vps-1", since=START)
    assert [(sample.at, sample.load_1m) for sample in samples] == [(later.at, 7.0)]


async def test_a_beat_tells_who_else_lives(db: Database) -> None:
    async def beat(name: str, seconds: float, vantage: str = "main") -> list[str]:
        async with db.transaction() as session:
            return await store.beat(
                session,
                name,
                vantage=vantage,
                servers=3,
                blind="",
                started_at=START,
                at=START + timedelta(seconds=seconds),
            )

    assert await beat("one", 0) == []
    assert await beat("elsewhere", 1, "other") == []
    assert await beat("two", 5) == ["one"]
    assert await beat("one", 10) == ["two"]
    assert await beat("one", 21) == []
    await beat("one", 2 * 86_400)
    async with db.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Monitor)) == 1
