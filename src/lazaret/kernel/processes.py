"""The processes of Lazaret: each writes down that it lives and how its loops do. Whom that alarms is not decided here.

The table `monitors` is another thing: by it the fleet is shared, so a row there must go as soon as a monitor is silent.
A row here stays until somebody was told.
"""

import os
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lazaret import __version__
from lazaret.kernel.database import Base
from lazaret.kernel.loop_health import LoopState

KEPT = timedelta(days=1)
"""One that fell silent is forgotten after this."""
KEPT_AFTER_THE_END = timedelta(hours=1)
"""One that ended in order is remembered so long, for the one that takes its place."""


class Process(Base):
    """One process. Only itself writes what it says; only the self-watch writes what was told."""

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(primary_key=True)
    parts: Mapped[list[Any]]
    """What runs in it: `api`, `worker`, `monitor`, `bot`."""
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    """It said goodbye."""
    loops: Mapped[list[Any]] = mapped_column(server_default="[]")
    """How its loops do, by its own clock: `name`, `last_success_at`, `patience_s`, `errors`, `error`."""
    told_at: Mapped[datetime | None]
    """When the administrators were told that it is silent; None when they need not know."""
    told_loops: Mapped[list[Any]] = mapped_column(server_default="[]")
    """The loops that they were told of."""
    log_level: Mapped[str | None]
    """What it is asked to log; None: as configured."""
    log_level_until: Mapped[datetime | None]
    """Until when."""

    @property
    def kind(self) -> str:
        """What it is called: by its one part, or `up`."""
        return kind_of(self.parts)

    @property
    def loop_healths(self) -> list["LoopHealth"]:
        """How its loops did when it was last heard of."""
        return [LoopHealth.from_json(one, self.seen_at) for one in self.loops]


@dataclass(frozen=True, slots=True)
class LoopHealth:
    """One loop, as its process said."""

    name: str
    last_success_at: datetime
    patience_s: float
    errors: int
    error: str
    silent_s: float
    """Without success for so long, by the clock of the process itself."""
    is_dead: bool

    @classmethod
    def from_json(cls, row: dict[str, Any], seen_at: datetime) -> Self:
        last = datetime.fromisoformat(row["last_success_at"])
        silent_s = max(0.0, (seen_at - last).total_seconds())
        patience_s = float(row["patience_s"])
        return cls(row["name"], last, patience_s, int(row["errors"]), row["error"], silent_s, silent_s > patience_s)


@dataclass(frozen=True, slots=True)
class LogWish:
    """What a process is asked to log for a while."""

    level: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process this is."""

    id: str
    parts: tuple[str, ...]
    host: str
    pid: int
    started_at: datetime

    @classmethod
    def of_this_process(cls, parts: Collection[str], *, at: datetime) -> Self:
        host, pid = socket.gethostname(), os.getpid()
        return cls(f"{host}-{pid}-{secrets.token_hex(3)}", tuple(sorted(parts)), host, pid, at)


def kind_of(parts: Collection[str]) -> str:
    """`worker` for a worker alone; `up` for several parts together."""
    return next(iter(parts)) if len(parts) == 1 else "up"


async def beat(session: AsyncSession, me: Identity, loops: Collection[LoopState], *, at: datetime) -> LogWish | None:
    """Say that this process lives, and how its loops do; returns what it is asked to log."""
    said = [
        {
            "name": loop.name,
            "last_success_at": (at - timedelta(seconds=loop.silent_s)).isoformat(),
            "patience_s": loop.patience_s,
            "errors": loop.errors,
            "error": loop.error,
        }
        for loop in loops
    ]
    row = insert(Process).values(
        id=me.id,
        parts=list(me.parts),
        host=me.host,
        pid=me.pid,
        version=__version__,
        started_at=me.started_at,
        seen_at=at,
        loops=said,
        told_loops=[],
    )
    fresh = {name: row.excluded[name] for name in ("seen_at", "loops")}
    said_back = row.on_conflict_do_update(index_elements=["id"], set_=fresh)
    answer = await session.execute(said_back.returning(Process.log_level, Process.log_level_until))
    level, until = answer.one()
    return LogWish(level, until) if level is not None and until is not None else None


async def leave(session: AsyncSession, me: Identity, *, at: datetime) -> None:
    """Say goodbye: nobody is to miss this process."""
    await session.execute(update(Process).where(Process.id == me.id).values(ended_at=at, seen_at=at))


async def list_processes(session: AsyncSession, *, ended: bool = False, for_update: bool = False) -> list[Process]:
    """The processes that are or should be there, by kind; with `ended` also those that said goodbye."""
    statement = select(Process).order_by(Process.host, Process.id)
    if not ended:
        statement = statement.where(Process.ended_at.is_(None))
    rows = await session.scalars(statement.with_for_update() if for_update else statement)
    return sorted(rows, key=lambda row: row.kind)


async def forget_old(session: AsyncSession, *, at: datetime) -> None:
    """Drop the rows that nobody needs any more."""
    await session.execute(
        text("delete from processes where seen_at < :silent or ended_at < :ended"),
        {"silent": at - KEPT, "ended": at - KEPT_AFTER_THE_END},
    )
