"""How much processes log for a while, asked for by a person and written beside what each process says of itself.

A process reads its wish with every beat and goes back by itself when the time is over, also without a database. A new
process logs as configured.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.errors import InvalidInput, NotFound
from lazaret.kernel.logging import Level, change_level, get_logger
from lazaret.kernel.processes import LogWish, Process, list_processes

logger = get_logger(__name__)

LONGEST = timedelta(days=1)


async def ask_log_level(
    session: AsyncSession,
    level: Level | None,
    actor: audit.Actor,
    *,
    process: str = "",
    lasting: timedelta = LONGEST,
    at: datetime,
) -> Sequence[Process]:
    """Wish for a level, or with None for what is configured, in the processes of a kind, part or id; empty: in all.

    Raises `NotFound` when there is none, and `InvalidInput` for more than a day: nobody remembers to end it.
    """
    if lasting > LONGEST:
        raise InvalidInput("That is longer than a day.", hint="Set LAZARET_LOG_LEVEL for what is to last.")
    rows = [
        row
        for row in await list_processes(session, for_update=True)
        if not process or process in {row.id, row.kind, *row.parts}
    ]
    if not rows:
        raise NotFound(
            f"No process {process[:64]!r} runs." if process else "No process of Lazaret runs.",
            hint="`lazaret processes` lists them; their kind, a part of them or their id may be given.",
        )
    until = at + lasting if level is not None else None
    for row in rows:
        row.log_level, row.log_level_until = level, until
        wished = level or "configured"
        ends = until.isoformat() if until is not None else None
        audit.record(session, actor, "log_level.set", f"process:{row.id}", at=at, level=wished, until=ends)
    return rows


class Follower:
    """What this process logs: as was wished, while it lasts."""

    def __init__(self) -> None:
        self._wish: LogWish | None = None
        self._level: str | None = None

    def follow(self, wish: LogWish | None, at: datetime) -> None:
        """The wish as it now stands in the table."""
        self._wish = wish
        self.look(at)

    def look(self, at: datetime) -> None:
        """Begin or end what time begins or ends."""
        level = self._wish.level if self._wish is not None and self._wish.until > at else None
        if level != self._level:
            self._level = level
            until = self._wish.until.isoformat() if level is not None and self._wish is not None else None
            logger.warning("log.level", logs=change_level(level), until=until)
