"""The monitor: keeps eyes on its share of the fleet, doubts itself before it doubts a server, and writes down what is.

It only reads machines. What follows from a verdict is decided by its listener.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database, is_away
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loops import end_tasks, every, restarting
from lazaret.kernel.metrics import BLIND, STREAMS, VERDICTS, WATCHED
from lazaret.probing import store
from lazaret.probing.fleet import AnchorState, FleetVerdict, judge_fleet
from lazaret.probing.punctuality import Punctuality
from lazaret.probing.reading import Reading
from lazaret.probing.share import BEAT_S, share_of
from lazaret.probing.verdict import Expectations, Phase, Verdict, disbelieve_loss, forget_silence
from lazaret.probing.watcher import Senses, WatchedServer, Watcher
from lazaret.servers.access import SshEndpoint

logger = get_logger(__name__)

FLUSH_S = 5.0
"""What is known of the fleet is written down so often; a verdict that changes is told at once."""
ANCHORS_FRESH_S = 3.0
"""A look at the anchors counts so long."""
SIGHT_S = 1.0
"""Between two looks at ourselves."""
START_SPREAD_S = 0.002
"""Between the starts of two watchers, so that a fleet does not log in all at once."""


class VerdictsUntold(LazaretError):
    """What is seen of some servers cannot be acted upon."""

    code = "verdicts_untold"


class VerdictListener(Protocol):
    """Who acts upon verdicts."""

    async def on_verdict(self, watcher: Watcher, verdict: Verdict) -> None:
        """The verdict on a server became another one, and the observer is not blind."""
        ...

    async def on_blind(self, because: str) -> None:
        """This monitor cannot see (any more), or can again (an empty string)."""
        ...


Expected = tuple[Expectations, tuple[int, ...]]
"""What should run on a server, and which of its ports should answer from outside."""
Expecting = Callable[[AsyncSession, list[str]], Awaitable[dict[str, Expected]]]
"""What is expected of these servers; one that is left out is to run nothing."""


class Monitor:
    """One monitor process. Several share the fleet by the table `monitors`."""

    def __init__(
        self,
        db: Database,
        senses: Senses,
        listener: VerdictListener,
        *,
        anchors: Callable[[], Awaitable[AnchorState]],
        expecting: Expecting,
        name: str | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.watchers: dict[str, Watcher] = {}
        self.blind = ""
        self._db = db
        self._senses = senses
        self._listener = listener
        self._anchors = anchors
        self._expecting = expecting
        self._share: dict[str, tuple[SshEndpoint, tuple[str, ...]]] = {}
        self._fleet_known: tuple[str, ...] = ()
        self._expected: dict[str, Expected] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self._dirty: dict[str, store.HealthRow] = {}
        self._unwell: set[str] = set()
        self._untold: dict[str, Exception] = {}
        """Servers whose verdict the listener could not take, and why."""
        self._told_blind: bool | None = False
        """What the listener has taken of our sight; None after it failed, which may have been after it wrote it."""
        self._sight_untold: Exception | None = None
        self._anchor_state: tuple[float, AnchorState] = (float("-inf"), AnchorState.UNKNOWN)
        self._judging = asyncio.Lock()
        self._punctuality = Punctuality(senses.clock)
        self._started_at = self._clock.now()

    @property
    def _clock(self) -> Clock:
        return self._senses.clock

    async def run(self) -> None:
        """Watch until cancelled; then the share falls to the others at once."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(every(BEAT_S, "monitor.share", self._take_share, self._clock))
                group.create_task(every(FLUSH_S, "monitor.flush", self._flush, self._clock))
                group.create_task(every(SIGHT_S, "monitor.sight", self._look_around, self._clock))
                group.create_task(every(FLUSH_S, "monitor.verdicts", self._all_are_told, self._clock))
        finally:
            await self._end()

    async def _end(self) -> None:
        self._fleet_known = ()
        await self._watch_only({})
        async with asyncio.timeout(BEAT_S):
            async with self._db.transaction() as session:
                await store.leave(session, self.name)

    async def _take_share(self) -> None:
        """Say that we live, and watch what falls to us."""
        now = self._clock.now()
        async with self._db.transaction() as session:
            alive = await store.beat(
                session,
                self.name,
                vantage=self._senses.vantage,
                servers=len(self.watchers),
                blind=self.blind,
                started_at=self._started_at,
                at=now,
            )
            known = (await store.watchable_fingerprint(session), *sorted(alive))
            if known != self._fleet_known:
                servers = await store.watchable(session)
                self._share = {handle: servers[handle] for handle in share_of(self.name, alive, servers)}
            expected = await self._expecting(session, sorted(self._share))
        nothing: Expected = (Expectations(), ())
        if known == self._fleet_known and expected == self._expected:
            return
        await self._watch_only(
            {
                handle: WatchedServer(handle, *where, *expected.get(handle, nothing))
                for handle, where in self._share.items()
            }
        )
        self._fleet_known, self._expected = known, expected

    async def _watch_only(self, wanted: dict[str, WatchedServer]) -> None:
        gone = [handle for handle in self._tasks if handle not in wanted or self._must_restart(wanted[handle])]
        ended = [self._tasks.pop(handle) for handle in gone]
        await end_tasks(*ended)
        for handle in gone:
            self.watchers.pop(handle, None)
            self._told.pop(handle, None)
            self._unwell.discard(handle)
            self._untold.pop(handle, None)
        for handle, server in wanted.items():
            if handle in self._tasks:
                self.watchers[handle].server = server
                continue
            watcher = Watcher(server, self._senses, self._observed)
            self.watchers[handle] = watcher
            self._tasks[handle] = asyncio.create_task(self._keep_watching(watcher), name=f"watch {handle}")
            await asyncio.sleep(START_SPREAD_S)

    def _must_restart(self, server: WatchedServer) -> bool:
        """Whether it has another address or other pinned keys than the ones in use."""
        known = self.watchers[server.handle].server
        return (known.endpoint, known.host_keys) != (server.endpoint, server.host_keys)

    def was_told(self, handle: str, verdict: Verdict) -> bool:
        """Whether the listener has heard exactly this of the server, so that nothing of it is being judged now."""
        return not self.blind and self._told.get(handle) == verdict.key

    async def _keep_watching(self, watcher: Watcher) -> None:
        await restarting("monitor.watch", watcher.run, self._clock)

    async def _observed(self, watcher: Watcher, verdict: Verdict, reading: Reading | None) -> bool:
        """Every observation that may be news. A verdict that changed is told, unless it is our own blindness."""
        handle = watcher.server.handle
        full = reading if reading is not None and reading.full is not None else None
        key = verdict.key
        if key == self._told.get(handle):
            if full is not None:
                self._dirty[handle] = store.HealthRow(handle, verdict, full)
            return True
        (self._unwell.discard if verdict.phase is Phase.WELL else self._unwell.add)(handle)
        if verdict.phase is Phase.LOST and await self._is_blind():
            self._disbelieve(watcher)
            return False
        self._told[handle] = key
        pending = self._dirty.get(handle)
        self._dirty[handle] = store.HealthRow(handle, verdict, full or (pending.reading if pending else None))
        VERDICTS.labels(phase=verdict.phase.value).inc()
        try:
            await self._listener.on_verdict(watcher, verdict)
        except Exception as error:
            self._told.pop(handle, None)  # told again with the next observation
            self._untold[handle] = error
            logger.exception("monitor.listener_failed", handle=handle)
            return False
        self._untold.pop(handle, None)
        return True

    async def _all_are_told(self) -> None:
        """Fails while verdicts lead to nothing: a monitor that sees and cannot act must not count as alive and well."""
        if self._sight_untold is not None:
            raise VerdictsUntold("Nobody could be told whether the monitor can see.") from self._sight_untold
        if self._untold:
            handle, error = next(iter(self._untold.items()))
            raise VerdictsUntold(f"Of {len(self._untold)} servers the verdict leads to nothing, {handle}.") from error

    # --- doubting oneself

    async def _is_blind(self) -> bool:
        """Whether what looks like lost servers may be our own eyes, by a fresh look at the anchors."""
        async with self._judging:
            looked_at, state = self._anchor_state
            if self._clock.monotonic() - looked_at > ANCHORS_FRESH_S:
                state = await self._anchors()
                self._anchor_state = (self._clock.monotonic(), state)
            await self._believe(self._judge_fleet(state))
        return bool(self.blind)

    def _disbelieve(self, watcher: Watcher) -> None:
        """What was found while blind is no loss, and its end no change; one that was told before stays one."""
        told = self._told.get(watcher.server.handle)
        if told is None or told[0] not in {Phase.LOST, Phase.RETURNING}:
            watcher.watch = disbelieve_loss(watcher.watch, self._clock.now())

    def _judge_fleet(self, anchors: AnchorState) -> FleetVerdict:
        lost = sum(not watcher.streaming for watcher in self.watchers.values())
        is_late = self._punctuality.is_late
        return judge_fleet(anchors, lost, len(self.watchers), self._senses.rules, is_late=is_late)

    async def _believe(self, fleet: FleetVerdict) -> None:
        if fleet.blind is not bool(self.blind):
            self.blind = fleet.because if fleet.blind else ""
            logger.warning("monitor.sight", blind=fleet.blind, because=fleet.because)
            if not self.blind:
                for watcher in self.watchers.values():
                    watcher.watch = forget_silence(watcher.watch, self._clock.now())
        await self._tell_sight()

    async def _tell_sight(self) -> None:
        """Say whether we can see until the listener has taken it: what is held back while we are blind goes by that."""
        if self._told_blind is bool(self.blind):
            return
        self._told_blind = None
        try:
            await self._listener.on_blind(self.blind)
        except Exception as error:
            self._sight_untold = error
            if is_away(error):  # a restart of the database is met every second
                logger.warning("monitor.sight_untold", error=type(error).__name__)
            else:
                logger.exception("monitor.sight_untold")
            return
        self._told_blind, self._sight_untold = bool(self.blind), None

    async def _look_around(self) -> None:
        """While streams are lost, we are blind, or nobody knows that, see whether we can see."""
        self._punctuality.came()
        WATCHED.set(len(self.watchers))
        BLIND.set(bool(self.blind))
        STREAMS.set(sum(watcher.streaming for watcher in self.watchers.values()))
        try:
            if self.blind or self._unwell or self._told_blind is not False:
                await self._is_blind()
        finally:
            self._punctuality.set(SIGHT_S)

    # --- writing down

    async def _flush(self) -> None:
        if not self._dirty:
            return
        rows, self._dirty = self._dirty, {}
        try:
            async with self._db.transaction() as session:
                await store.write_health(
                    session,
                    list(rows.values()),
                    monitor=self.name,
                    vantage=self._senses.vantage,
                    at=self._clock.now(),
                )
        except BaseException:
            self._dirty = {**rows, **self._dirty}
            raise
