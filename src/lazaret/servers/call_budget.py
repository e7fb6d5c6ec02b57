"""The call budget of a provider account: a token bucket, shared by all processes through the database.

The provider punishes a noisy caller, so everybody draws from one bucket, and a reserve is kept for urgent calls.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Base, Database
from lazaret.servers.provider import ProviderThrottled


@dataclass(frozen=True, slots=True)
class Rate:
    """How many calls an account may make: `burst` at once, `per_s` in the long run, `reserve` for urgent ones only."""

    burst: float = 10.0
    per_s: float = 0.5
    reserve: float = 3.0

    @classmethod
    def per_minute(cls, calls: float) -> Self:
        """So many calls in the long run; a third of them at once, a tenth of them for urgent ones only."""
        return cls(burst=max(4.0, calls / 3), per_s=calls / 60, reserve=min(3.0, max(1.0, calls / 10)))


@dataclass(frozen=True, slots=True)
class Bucket:
    """The state: tokens at a moment, and until when the provider told everybody to wait."""

    tokens: float
    refilled_at: datetime
    blocked_until: datetime | None = None


def draw(bucket: Bucket, rate: Rate, now: datetime, *, urgent: bool) -> tuple[Bucket, float]:
    """Take one token: the new state and 0, or the unchanged amount and the seconds to wait before asking again."""
    bucket = _refilled(bucket, rate, now)
    if bucket.blocked_until is not None and bucket.blocked_until > now:
        return bucket, (bucket.blocked_until - now).total_seconds()
    floor = 0.0 if urgent else rate.reserve
    if bucket.tokens - 1.0 >= floor - 1e-9:
        return replace(bucket, tokens=bucket.tokens - 1.0, blocked_until=None), 0.0
    return bucket, (floor + 1.0 - bucket.tokens) / rate.per_s


def _refilled(bucket: Bucket, rate: Rate, now: datetime) -> Bucket:
    """Time's tokens added. Machines whose clocks differ a little must not add the difference again and again, and one
    whose clock was far ahead must not starve the others."""
    elapsed_s = (now - bucket.refilled_at).total_seconds()
    if -rate.burst / rate.per_s <= elapsed_s <= 0:
        return bucket
    tokens = min(rate.burst, bucket.tokens + max(0.0, elapsed_s) * rate.per_s)
    return replace(bucket, tokens=tokens, refilled_at=now)


async def _take(draw_once: Callable[[], Awaitable[float]], clock: Clock, within_s: float | None) -> None:
    """Draw, and wait as long as the bucket says, until a token was had."""
    deadline = None if within_s is None else clock.monotonic() + within_s
    while wait_s := await draw_once():
        if deadline is not None and clock.monotonic() + wait_s > deadline:
            raise ProviderThrottled("The provider account has no call left for this now.", wait_s=wait_s)
        await clock.sleep(wait_s)


class InMemoryCallBudget:
    """For one process: tests and the lab."""

    def __init__(self, clock: Clock, rate: Rate | None = None) -> None:
        self._clock = clock
        self._rate = rate or Rate()
        self._bucket = Bucket(self._rate.burst, clock.now())

    async def acquire(self, *, urgent: bool, within_s: float | None = None) -> None:
        async def draw_once() -> float:
            self._bucket, wait_s = draw(self._bucket, self._rate, self._clock.now(), urgent=urgent)
            return wait_s

        await _take(draw_once, self._clock, within_s)

    async def block_for(self, seconds: float) -> None:
        until = self._clock.now() + timedelta(seconds=seconds)
        self._bucket = replace(self._bucket, blocked_until=max(until, self._bucket.blocked_until or until))


class CallBudgetRow(Base):
    """The bucket of one account."""

    __tablename__ = "call_budgets"

    account: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    refilled_at: Mapped[datetime]
    blocked_until: Mapped[datetime | None]


class PostgresCallBudget:
    """For all processes on one database."""

    def __init__(self, db: Database, clock: Clock, *, account: str, rate: Rate | None = None) -> None:
        self._db = db
        self._clock = clock
        self._account = account
        self._rate = rate or Rate()

    async def acquire(self, *, urgent: bool, within_s: float | None = None) -> None:
        await _take(lambda: self._draw(urgent=urgent), self._clock, within_s)

    async def block_for(self, seconds: float) -> None:
        now = self._clock.now()
        until = now + timedelta(seconds=seconds)
        statement = insert(CallBudgetRow).values(
            account=self._account, tokens=self._rate.burst, refilled_at=now, blocked_until=until
        )
        async with self._db.transaction() as session:
            await session.execute(
                statement.on_conflict_do_update(
                    index_elements=["account"],
                    set_={"blocked_until": func.greatest(CallBudgetRow.blocked_until, until)},
                )
            )

    async def _draw(self, *, urgent: bool) -> float:
        now = self._clock.now()
        first = insert(CallBudgetRow).values(account=self._account, tokens=self._rate.burst, refilled_at=now)
        async with self._db.transaction() as session:
            await session.execute(first.on_conflict_do_nothing())
            row = await session.get_one(CallBudgetRow, self._account, with_for_update=True)
            before = Bucket(row.tokens, row.refilled_at, row.blocked_until)
            after, wait_s = draw(before, self._rate, now, urgent=urgent)
            row.tokens, row.refilled_at, row.blocked_until = after.tokens, after.refilled_at, after.blocked_until
            return wait_s
