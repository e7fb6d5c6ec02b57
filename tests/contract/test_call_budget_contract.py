"""What every call budget must do, in memory and in PostgreSQL."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from lazaret.kernel.clock import ManualClock
from lazaret.kernel.database import Base, Database
from lazaret.kernel.embedded_postgres import EmbeddedPostgres
from lazaret.servers.call_budget import CallBudgetRow, InMemoryCallBudget, PostgresCallBudget, Rate
from lazaret.servers.provider import CallBudget, ProviderThrottled

RATE = Rate(burst=5, per_s=0.5, reserve=2)


@pytest.fixture(scope="module")
def conninfo() -> Iterator[str]:
    directory = Path(tempfile.mkdtemp(prefix="lazaret-budget-pg-"))
    directory.chmod(0o755)  # as root the server runs as a user of its own
    server = EmbeddedPostgres(directory / "data")
    try:
        yield server.start()
    finally:
        server.wipe()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def db(conninfo: str) -> AsyncIterator[Database]:
    async with Database(conninfo) as database:
        engine = create_async_engine(database.conninfo.replace("postgresql:", "postgresql+psycopg:"))
        async with engine.begin() as connection:
            tables = [Base.metadata.tables["call_budgets"]]
            await connection.run_sync(Base.metadata.drop_all, tables=tables)
            await connection.run_sync(Base.metadata.create_all, tables=tables)
        await engine.dispose()
        yield database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "postgres"])
def budget(request: pytest.FixtureRequest, clock: ManualClock) -> CallBudget:
    if request.param == "memory":
        return InMemoryCallBudget(clock, RATE)
    return PostgresCallBudget(request.getfixturevalue("db"), clock, account="test", rate=RATE)


async def test_a_burst_and_then_the_rate(budget: CallBudget, clock: ManualClock):
    for _ in range(3):
        await budget.acquire(urgent=False)
    assert clock.monotonic() == 0
    for _ in range(10):
        await budget.acquire(urgent=False)
    assert clock.monotonic() == pytest.approx(20, abs=0.01)


async def test_the_reserve_is_for_urgent_calls(budget: CallBudget, clock: ManualClock):
    for _ in range(3):
        await budget.acquire(urgent=False)
    for _ in range(2):
        await budget.acquire(urgent=True)
    assert clock.monotonic() == 0
    await budget.acquire(urgent=True)
    assert clock.monotonic() == pytest.approx(2, abs=0.01)


async def test_a_block_holds_for_everybody(budget: CallBudget, clock: ManualClock):
    await budget.block_for(24)
    await budget.acquire(urgent=True)
    assert clock.monotonic() == pytest.approx(24, abs=0.01)


async def test_a_shorter_block_does_not_end_a_longer_one(budget: CallBudget, clock: ManualClock):
    await budget.block_for(60)
    await budget.block_for(5)
    await budget.acquire(urgent=True)
    assert clock.monotonic() == pytest.approx(60, abs=0.01)


async def test_who_cannot_wait_so_long_is_told_at_once(budget: CallBudget, clock: ManualClock):
    await budget.block_for(60)
    with pytest.raises(ProviderThrottled) as caught:
        await budget.acquire(urgent=True, within_s=59)
    assert caught.value.wait_s == pytest.approx(60, abs=0.01)
    assert clock.monotonic() == 0
    await budget.acquire(urgent=True, within_s=61)
    assert clock.monotonic() == pytest.approx(60, abs=0.01)


async def test_a_free_call_needs_no_time(budget: CallBudget, clock: ManualClock):
    await budget.acquire(urgent=False, within_s=0)
    assert clock.monotonic() == 0


async def test_processes_share_one_budget_by_account(db: Database, clock: ManualClock):
    first, second = (PostgresCallBudget(db, clock, account="shared", rate=RATE) for _ in range(2))
    other = PostgresCallBudget(db, clock, account="another", rate=RATE)
    await asyncio.gather(*(budget.acquire(urgent=True, within_s=0) for budget in [first, second] * 2))
    await first.block_for(30)
    with pytest.raises(ProviderThrottled):
        await second.acquire(urgent=True, within_s=0)
    await other.acquire(urgent=True, within_s=0)
    async with db.transaction() as session:
        rows = {row.account: row.tokens for row in await session.scalars(select(CallBudgetRow))}
    assert rows == {"shared": 1.0, "another": 4.0}


async def test_twenty_at_once_get_no_more_than_there_is(db: Database, clock: ManualClock):
    budgets = [PostgresCallBudget(db, clock, account="busy", rate=RATE) for _ in range(20)]
    results = await asyncio.gather(
        *(budget.acquire(urgent=True, within_s=0) for budget in budgets), return_exceptions=True
    )
    assert sum(result is None for result in results) == 5
    assert all(result is None or isinstance(result, ProviderThrottled) for result in results)
