"""What every process does for the self-watch: it says that it lives, and looks whether the others do."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime

from lazaret import __version__
from lazaret.alerting.self_watch import Watch, arrive, watch_processes
from lazaret.entrypoints.office import Office
from lazaret.kernel import processes
from lazaret.kernel.leadership import try_lead
from lazaret.kernel.log_level import Follower
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loop_health import loop_states
from lazaret.kernel.loops import end_tasks, every
from lazaret.kernel.metrics import PROCESS

logger = get_logger(__name__)

SLOWEST_BEAT_S = 5.0
GOODBYE_S = 3.0


@asynccontextmanager
async def living(office: Office, parts: Collection[str]) -> AsyncIterator[None]:
    """While the block runs this process is known to live; its orderly end is known too."""
    life = Life(office, parts)
    PROCESS.labels(kind=processes.kind_of(parts), version=__version__).set(1)
    await life.begin()
    tasks = [asyncio.create_task(life.go_on()), asyncio.create_task(life.look_around())]
    try:
        yield
    finally:
        await end_tasks(*tasks)
        await life.end()


class Life:
    """One process among the others."""

    def __init__(self, office: Office, parts: Collection[str]) -> None:
        self.me = processes.Identity.of_this_process(parts, at=office.clock.now())
        self._office = office
        self._silent_after_s = office.settings.lazaret_silent_after
        self.beat_s = min(SLOWEST_BEAT_S, self._silent_after_s / 4)
        self._looked_at: datetime | None = None
        self._looking_since: datetime | None = None
        self._log = Follower()

    async def begin(self) -> None:
        """Take the place."""
        now = self._office.clock.now()
        async with self._office.db.transaction() as session:
            await processes.beat(session, self.me, loop_states(), at=now)
            await arrive(session, self.me, self._silent_after_s, at=now)

    async def go_on(self) -> None:
        """Say again and again that it lives."""
        await every(self.beat_s, "beat", self._beat, self._office.clock)

    async def look_around(self) -> None:
        """Look again and again whether the others live; one of them does it at a time."""
        await every(self.beat_s, "self_watch", self.look, self._office.clock)

    async def end(self) -> None:
        """Say goodbye. A database that is away must not keep a process from ending."""
        try:
            async with asyncio.timeout(GOODBYE_S), self._office.db.transaction() as session:
                await processes.leave(session, self.me, at=self._office.clock.now())
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends
            logger.warning("process.no_goodbye", error=type(error).__name__)

    async def _beat(self) -> None:
        now = self._office.clock.now()
        self._log.look(now)  # also while the database is away
        async with self._office.db.transaction() as session:
            wish = await processes.beat(session, self.me, loop_states(), at=now)
        self._log.follow(wish, now)

    async def look(self) -> None:
        """One look. Who could not look for a while begins to count anew: the others may have had the same trouble."""
        async with try_lead(self._office.conninfo, "self_watch") as leading:
            now = self._office.clock.now()
            longest_s = self._silent_after_s / 2
            if self._looked_at is None or (now - self._looked_at).total_seconds() > longest_s:
                self._looking_since = now
            self._looked_at = now
            if leading:
                assert self._looking_since is not None
                watch = Watch(self._silent_after_s, self._looking_since)
                async with self._office.db.transaction() as session:
                    await watch_processes(session, watch, at=now)
