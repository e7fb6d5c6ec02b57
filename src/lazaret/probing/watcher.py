"""Watches one server: follows its stream, and when that is lost looks again by fresh means until it is clear what is.

Only reads. What it sees goes into the fold of `verdict`; whoever must know of a verdict is told by `report`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from lazaret.kernel.clock import Clock
from lazaret.kernel.metrics import READING_LAG, READINGS
from lazaret.probing.patience import Patience
from lazaret.probing.reading import Reading
from lazaret.probing.rules import Rules
from lazaret.probing.sighting import Means, Seen, Sighting, seen_by
from lazaret.probing.streams import ReadingStreams
from lazaret.probing.verdict import Expectations, Phase, ServerWatch, Verdict, goes_on, judge, new_watch, observe
from lazaret.servers.access import AccessError, KeyLogin, PortState, RemoteAccess, SshEndpoint

_SEEN_ON_PORT = {PortState.OPEN: Seen.WELL, PortState.REFUSED: Seen.REFUSED, PortState.SILENT: Seen.SILENT}


SHORTEST_STREAM_S = 5.0
"""A stream that lasted less than this and a heartbeat was no use."""


@dataclass(frozen=True, slots=True)
class WatchedServer:
    """What must be known to watch a server. `service_ports` are published TCP ports that should answer."""

    handle: str
    endpoint: SshEndpoint
    host_keys: tuple[str, ...]
    expectations: Expectations = field(default_factory=Expectations)
    service_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Senses:
    """The ways of looking, and how patiently."""

    access: RemoteAccess
    streams: ReadingStreams
    login: KeyLogin
    clock: Clock
    rules: Rules
    heartbeat_s: float
    full_every_s: float
    vantage: str = "main"


Report = Callable[["Watcher", Verdict, Reading | None], Awaitable[bool]]
"""Told of every observation's verdict but those that can say nothing new, with the reading where one was the reason.

False: it could not be told, and must be with the next observation.
"""


class Watcher:
    """The eyes on one server. `watch` is all that is remembered of it."""

    def __init__(self, server: WatchedServer, senses: Senses, report: Report) -> None:
        self.server = server
        self.reading: Reading | None = None
        """The newest full reading."""
        self._senses = senses
        self._report = report
        self.watch: ServerWatch = new_watch(senses.clock.now(), senses.rules)
        self.streaming = False
        self._patience: Patience | None = None
        self._due: float | None = None
        """When the next reading of this stream is."""
        self._is_told = False
        """Whether `report` has taken what there was to tell."""

    @property
    def verdict(self) -> Verdict:
        """What is true of the server by what was seen so far."""
        senses = self._senses
        return judge(self.watch, senses.clock.now(), senses.rules, self.server.expectations)

    async def run(self) -> None:
        """Watch until cancelled. A stream that ends as soon as it is opened is opened ever more rarely."""
        short = 0
        while True:
            begun = self._senses.clock.monotonic()
            await self._follow()
            lasted_s = self._senses.clock.monotonic() - begun
            short = 0 if lasted_s > self._senses.heartbeat_s + SHORTEST_STREAM_S else min(short + 1, 5)
            await self._look_until_well()
            if short:
                await self._senses.clock.sleep(random.uniform(0.5, 1) * 2 ** (short - 1))  # noqa: S311 - spreads load

    async def _follow(self) -> None:
        """Take readings until there is no stream."""
        senses, server = self._senses, self.server
        stall_s = senses.rules.stall_s(senses.heartbeat_s)
        try:
            async with senses.streams.open(
                server.endpoint,
                host_keys=server.host_keys,
                heartbeat_s=senses.heartbeat_s,
                full_every_s=senses.full_every_s,
                still_alive=self._goes_on,
                timeout_s=senses.rules.look_timeout_s * 2,
            ) as readings:
                self.streaming = True
                async with Patience(stall_s) as patience:
                    self._patience, self._due = patience, None
                    async for reading in readings:
                        patience.rest()
                        self._note_lag()
                        await self._read(reading)
                        if reading.full is not None and not await self._lets_others_in():
                            return
                        patience.sign()
            await self.saw(Means.STREAM, Seen.LOST, "the stream ended")
        except TimeoutError:
            await self.saw(Means.STREAM, Seen.LOST, f"no reading for {stall_s:.1f} s")
        except AccessError as error:
            await self.saw(Means.STREAM, seen_by(error), error.message)
        finally:
            self.streaming = False
            self._patience = None

    def _goes_on(self) -> bool:
        """The stream says that its server lives as it did; False while something is to be told or waits for that."""
        patience = self._patience
        if patience is None or patience.rests or not self._is_told:
            return False
        watch = goes_on(self.watch, self._senses.clock.now())
        if watch is None:
            return False
        self.watch = watch
        self._note_lag()
        patience.sign()
        return True

    def _note_lag(self) -> None:
        """A reading came: how late it was, and when the next one is due."""
        now = self._senses.clock.monotonic()
        READINGS.inc()
        if self._due is not None:
            READING_LAG.observe(max(0.0, now - self._due))
        self._due = now + self._senses.heartbeat_s

    async def _lets_others_in(self) -> bool:
        """An open stream outlives its server's sshd: whether a new one could be opened is asked from outside."""
        senses, endpoint = self._senses, self.server.endpoint
        for pause_s in (senses.rules.confirm_gap_s, 0.0):
            state = await senses.access.probe_port(
                endpoint.address, endpoint.port, timeout_s=senses.rules.look_timeout_s
            )
            if state is PortState.OPEN:
                return True
            await senses.clock.sleep(pause_s)
        await self.saw(Means.TCP, _SEEN_ON_PORT[state], "the stream is open, a new one could not be opened")
        return False

    async def _read(self, reading: Reading) -> None:
        if reading.full is not None:
            self.reading = reading
        self.watch = observe(self.watch, reading, self._senses.rules, self.server.expectations)
        await self._tell(reading)

    async def _tell(self, reading: Reading | None) -> None:
        self._is_told = False
        self._is_told = await self._report(self, self.verdict, reading)

    async def saw(self, means: Means, seen: Seen, detail: str = "") -> None:
        """Take one look into account."""
        senses = self._senses
        sighting = Sighting(senses.clock.now(), means, seen, detail, senses.vantage)
        self.watch = observe(self.watch, sighting, senses.rules, self.server.expectations)
        await self._tell(None)

    async def _look_until_well(self) -> None:
        """Rounds of fresh looks: quick ones while there is a suspicion, slow ones for a server that is lost."""
        while True:
            if await self._look():
                return
            rules = self._senses.rules
            pause_s = rules.knock_s if self.verdict.phase is Phase.LOST else rules.confirm_gap_s
            await self._senses.clock.sleep(pause_s * random.uniform(0.9, 1.1))  # noqa: S311 - only spreads the load

    async def _look(self) -> bool:
        """One round; True when we are in. A suspicion is looked at in both ways at once, a loss politely."""
        if self.verdict.phase is Phase.LOST:
            return await self._knock() and await self._log_in()
        _, is_in = await asyncio.gather(self._knock(), self._log_in())
        return is_in

    async def _knock(self) -> bool:
        """TCP to the SSH port, and beside it to the ports of the services."""
        senses, server = self._senses, self.server
        address, timeout_s = server.endpoint.address, senses.rules.look_timeout_s
        ports = (server.endpoint.port, *server.service_ports)
        ssh, *services = await asyncio.gather(
            *(senses.access.probe_port(address, port, timeout_s=timeout_s) for port in ports)
        )
        if services:
            best = Seen.WELL if PortState.OPEN in services else _SEEN_ON_PORT[services[0]]
            await self.saw(Means.SERVICE, best, "ports of services")
        await self.saw(Means.TCP, _SEEN_ON_PORT[ssh], f"port {server.endpoint.port}")
        return ssh is PortState.OPEN

    async def _log_in(self) -> bool:
        """A fresh login that runs a command."""
        senses, server = self._senses, self.server
        try:
            connection = senses.access.connect(
                server.endpoint,
                host_keys=server.host_keys,
                login=senses.login,
                timeout_s=senses.rules.look_timeout_s,
            )
            async with connection as session:
                await session.run("true", timeout_s=senses.rules.look_timeout_s)
        except AccessError as error:
            await self.saw(Means.LOGIN, seen_by(error), error.message)
            return False
        await self.saw(Means.LOGIN, Seen.WELL)
        return True
