"""The call budget of a provider account: a token bucket, shared by all processes through the database.

The provider punishes a noisy caller, so everybody draws from one bucket, and a reserve is kept for urgent calls.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Base, Database


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
    elapsed_s = max(0.0, (now - bucket.refilled_at).total_seconds())
    tokens = min(rate.burst, bucket.tokens + elapsed_s * rate.per_s)
    if bucket.blocked_until is not None and bucket.blocked_until > now:
        return Bucket(tokens, now, bucket.blocked_until), (bucket.blocked_until - now).total_seconds()
    floor = 0.0 if urgent else rate.reserve
    if tokens - 1.0 >= floor - 1e-9:
        return Bucket(tokens - 1.0, now), 0.0
    return Bucket(tokens, now), (floor + 1.0 - tokens) / rate.per_s


class InMemoryCallBudget:
    """For one process: tests and the lab."""

    def __init__(self, clock: Clock, rate: Rate | None = None) -> None:
        self._clock = clock
        self._rate = rate or Rate()
        self._bucket = Bucket(self._rate.burst, clock.now())

    async def acquire(self, *, urgent: bool) -> None:
        while True:
            self._bucket, wait_s = draw(self._bucket, self._rate, self._clock.now(), urgent=urgent)
            if not wait_s:
                return
            await self._clock.sleep(wait_s)

    async def block_for(self, seconds: float) -> None:
        until = self._clock.now() + timedelta(seconds=seconds)
        self._bucket = Bucket(self._bucket.tokens, self._bucket.refilled_at, until)


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

    async def acquire(self, *, urgent: bool) -> None:
        while wait_s := await self._draw(urgent=urgent):
            await self._clock.sleep(wait_s)

    async def block_for(self, seconds: float) -> None:
        now = self._clock.now()
        until = now + timedelta(seconds=seconds)
        statement = insert(CallBudgetRow).values(
            account=self._account, tokens=self._rate.burst, refilled_at=now, blocked_until=until
        )
        async with self._db.transaction() as session:
            await session.execute(
                statement.on_conflict_do_update(index_elements=["account"], set_={"blocked_until": until})
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
