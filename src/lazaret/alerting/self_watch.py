"""Watches Lazaret itself: a process that falls silent and a loop that is dead are told once, and their return once.

A process alone can tell of its loops and not of its own death; see docs/howto/observe.md for who can.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.kernel.i18n import mark
from lazaret.kernel.logging import get_logger
from lazaret.kernel.processes import Identity, LoopHealth, Process, forget_old, list_processes

logger = get_logger(__name__)

SILENT = mark("Lazaret's {process} on {host} has not been heard of for {silent_s} s. Another one does its work.")
SILENT_AND_ALONE = mark(
    "Lazaret's {process} on {host} has not been heard of for {silent_s} s, and nobody else does its work ({parts}). "
    "Look at its log and start it again; `lazaret processes` shows all."
)
BACK = mark("Lazaret's {process} on {host} is back.")
LOOP_DEAD = mark(
    "The loop {loop} of Lazaret's {process} on {host} has not succeeded for {silent_s} s. Its last error: {error}. "
    "Look at its log; start it again if it hangs."
)
HANGS = mark("none: it hangs")
LOOP_BACK = mark("The loop {loop} of Lazaret's {process} on {host} works again.")


class ProcessState(StrEnum):
    """How a process is."""

    ALIVE = "alive"
    """It is heard of, and all its loops do their work."""
    AILING = "ailing"
    """It is heard of, and a loop of it is dead."""
    SILENT = "silent"
    """It is not heard of any more and did not say goodbye."""


@dataclass(frozen=True, slots=True)
class ProcessView:
    """One process, as it is shown."""

    id: str
    kind: str
    parts: list[str]
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    state: ProcessState
    loops: list[LoopHealth]
    log_level: str | None = None
    """What it logs for a while; None: as configured."""
    log_level_until: datetime | None = None


def view_of(row: Process, silent_after_s: float, at: datetime) -> ProcessView:
    """A row, and what follows from it. Pure."""
    loops = row.loop_healths
    state = ProcessState.AILING if any(loop.is_dead for loop in loops) else ProcessState.ALIVE
    if silence_of(row, at) > silent_after_s:
        state = ProcessState.SILENT
    is_asked = row.log_level_until is not None and row.log_level_until > at
    return ProcessView(
        row.id,
        row.kind,
        row.parts,
        row.host,
        row.pid,
        row.version,
        row.started_at,
        row.seen_at,
        state,
        loops,
        row.log_level if is_asked else None,
        row.log_level_until if is_asked else None,
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """How one process looks at the others."""

    silent_after_s: float
    since: datetime
    """Since when it could reach the database without a gap: what was silent before may have been its own fault."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to be told of one process."""

    fell_silent_s: float | None = None
    """It is silent for so long, and nobody was told."""
    is_back: bool = False
    dead: tuple[LoopHealth, ...] = ()
    """Loops that nobody was told of yet."""
    alive: tuple[str, ...] = ()
    """Loops that were told of and work again."""


def judge(row: Process, watch: Watch, at: datetime) -> Judgement:
    """Whether anything about this process is news. Pure."""
    watched_s = (at - watch.since).total_seconds()
    if silence_of(row, at) > watch.silent_after_s:
        silent_s = min(silence_of(row, at), watched_s)
        is_news = row.told_at is None and silent_s > watch.silent_after_s
        return Judgement(fell_silent_s=silence_of(row, at)) if is_news else Judgement()
    loops = row.loop_healths
    dead = [loop for loop in loops if loop.is_dead and watched_s > loop.patience_s and loop.name not in row.told_loops]
    well = {loop.name for loop in loops if not loop.is_dead}
    # A loop that is told of and not there any more is waited for: its process may just have begun.
    return Judgement(
        is_back=row.told_at is not None,
        dead=tuple(dead),
        alive=tuple(name for name in row.told_loops if name in well),
    )


def silence_of(row: Process, at: datetime) -> float:
    """Seconds since a process was heard of."""
    return max(0.0, (at - row.seen_at).total_seconds())


async def watch_processes(session: AsyncSession, watch: Watch, *, at: datetime) -> None:
    """Look at every process once, and owe the administrators what is news. One process at a time may do this."""
    rows = await list_processes(session, for_update=True)
    for row in rows:
        found = judge(row, watch, at)
        if found.fell_silent_s is not None:
            logger.error("process.silent", process=row.id, kind=row.kind, silent_s=round(found.fell_silent_s))
            living = [one for one in rows if one is not row and silence_of(one, at) <= watch.silent_after_s]
            _tell_silence(session, row, living, found.fell_silent_s, at)
            row.told_at = at
        if found.is_back:
            _tell(session, row, BACK, Level.INFO, at)
            row.told_at = None
        for loop in found.dead:
            logger.error("loop.dead", process=row.id, loop=loop.name, silent_s=round(loop.silent_s), error=loop.error)
            error = loop.error or HANGS
            _tell(session, row, LOOP_DEAD, Level.ERROR, at, loop=loop.name, silent_s=round(loop.silent_s), error=error)
        for name in found.alive:
            _tell(session, row, LOOP_BACK, Level.INFO, at, loop=name)
        if found.dead or found.alive:
            row.told_loops = sorted({*row.told_loops, *(loop.name for loop in found.dead)} - set(found.alive))
    await forget_old(session, at=at)


def _tell_silence(
    session: AsyncSession, row: Process, living: Iterable[Process], silent_s: float, at: datetime
) -> None:
    elsewhere = {part for one in living for part in one.parts}
    alone = [part for part in row.parts if part not in elsewhere]
    if alone:
        parts = ", ".join(alone)
        _tell(session, row, SILENT_AND_ALONE, Level.CRITICAL, at, silent_s=round(silent_s), parts=parts)
    else:
        _tell(session, row, SILENT, Level.WARNING, at, silent_s=round(silent_s))


def _tell(session: AsyncSession, row: Process, message: str, level: Level, at: datetime, **values: Any) -> None:
    notify_admins(session, message, level, at=at, process=row.kind, host=row.host, **values)


async def arrive(session: AsyncSession, me: Identity, silent_after_s: float, *, at: datetime) -> None:
    """This process begins, perhaps in the place of one that ended or died here; that one is not missed any more.

    Call it after the first `beat`.
    """
    rows = await list_processes(session, ended=True, for_update=True)
    mine = next(row for row in rows if row.id == me.id)
    here = [row for row in rows if row.id != me.id and (row.host, row.kind) == (mine.host, mine.kind)]
    gone = [row for row in here if row.ended_at or silence_of(row, at) > silent_after_s or not _runs(row, me)]
    if any(row.told_at is not None and row.ended_at is None for row in gone):
        _tell(session, mine, BACK, Level.INFO, at)
    mine.told_loops = sorted({name for row in gone for name in row.told_loops})
    for row in gone:
        if row.ended_at is None:
            logger.warning("process.died", process=row.id, seen_at=row.seen_at.isoformat())
        await session.delete(row)


def _runs(row: Process, me: Identity) -> bool:
    """Whether another process of this machine still has its number."""
    if row.pid == me.pid:
        return False
    try:
        os.kill(row.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
