"""How soon a dead server is noticed, and how often a living one is called dead: the real watcher in virtual time.

A simulated fleet behind a wire that loses 1 % of all packets. First 200 servers lose their power, each at another
moment: time to the confirmed loss, and to the sight of the come-back. Then a week of 100 servers that are all well:
every loss is a false one. Time jumps from timer to timer, so that a week takes minutes. Prints a table and writes
`bench-results/detect.json`. Run by `make bench-detect`.
"""

import argparse
import asyncio
import heapq
import json
import multiprocessing
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lazaret.adapters.ssh.harvest import GATHER_S
from lazaret.probing.reading import DiskUse, DockerState, FullReading, Reading
from lazaret.probing.rules import Rules
from lazaret.probing.streams import StillAlive
from lazaret.probing.verdict import Phase, Verdict
from lazaret.probing.watcher import Senses, WatchedServer, Watcher
from lazaret.servers.access import CommandResult, HostSilent, KeyLogin, NoBanner, PortState, SshEndpoint

HEARTBEAT_S, FULL_EVERY_S = 10.0, 60.0
BAR_P99_S = 20.0
ROUND_TRIP_S = 0.03
SYN_AGAIN_S, DATA_AGAIN_S = 1.0, 0.2
"""After which Linux sends again for the first time what was lost (RFC 6298; tcp(7)); doubled each time."""
LOGIN_MESSAGES = 8
"""Of an SSH login, one way each."""
FULL = FullReading("m", {"/": DiskUse(20, 5, 40_000)}, DockerState(True, {}), True, (), False, "v")


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when there is nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self._elapsed_s = 0.0
        self._timer_cancelled_count = 0

    def time(self) -> float:
        return self._elapsed_s

    def _run_once(self) -> None:
        timers = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0].cancelled():
            heapq.heappop(timers)._scheduled = False
            self._timer_cancelled_count -= 1
        if not self._ready and timers:  # type: ignore[attr-defined]
            self._elapsed_s = max(self._elapsed_s, timers[0].when())
        super()._run_once()  # type: ignore[misc]


class LoopClock:
    """The loop's time, for decisions."""

    _start = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


@dataclass
class Wire:
    """Loses packets, and sends them again as TCP does."""

    loss: float
    dice: random.Random

    def delay_s(self, again_s: float) -> float:
        """How long until one packet has arrived."""
        waited_s = ROUND_TRIP_S / 2
        while self.dice.random() < self.loss:
            waited_s += again_s
            again_s *= 2
        return waited_s

    def connect_s(self) -> float:
        """Both ways of a handshake."""
        return self.delay_s(SYN_AGAIN_S) + self.delay_s(SYN_AGAIN_S)

    def talk_s(self, messages: int) -> float:
        return sum(self.delay_s(DATA_AGAIN_S) for _ in range(messages))


@dataclass
class Host:
    """One server, seen through the wire. Fulfils the parts of `RemoteAccess` and `ReadingStreams` that are used."""

    wire: Wire
    is_on: bool = True
    boots: int = 1

    async def probe_port(self, _address: str, _port: int, *, timeout_s: float = 3) -> PortState:
        took_s = self.wire.connect_s()
        await asyncio.sleep(min(took_s, timeout_s) if self.is_on else timeout_s)
        return PortState.OPEN if self.is_on and took_s <= timeout_s else PortState.SILENT

    @asynccontextmanager
    async def connect(self, _endpoint: SshEndpoint, *, timeout_s: float, **_: object) -> AsyncIterator["Host"]:
        connected_s = self.wire.connect_s()
        took_s = connected_s + self.wire.talk_s(LOGIN_MESSAGES)
        await asyncio.sleep(min(took_s, timeout_s) if self.is_on else timeout_s)
        if not self.is_on or connected_s > timeout_s:
            raise HostSilent("silent")
        if took_s > timeout_s:
            raise NoBanner("too slow")
        yield self

    async def run(self, _command: str, *, timeout_s: float = 30, **_: object) -> CommandResult:
        await asyncio.sleep(min(self.wire.talk_s(2), timeout_s))
        return CommandResult(0, "", "")

    @asynccontextmanager
    async def open(
        self,
        endpoint: SshEndpoint,
        *,
        heartbeat_s: float,
        full_every_s: float,
        still_alive: StillAlive,
        timeout_s: float = 15,
        **_: object,
    ) -> AsyncIterator[AsyncIterator[Reading]]:
        async with self.connect(endpoint, timeout_s=timeout_s):
            yield self._readings(heartbeat_s, full_every_s, still_alive)

    async def _readings(
        self, heartbeat_s: float, full_every_s: float, still_alive: StillAlive
    ) -> AsyncIterator[Reading]:
        clock, boots = LoopClock(), self.boots
        next_at = next_full = clock.monotonic()
        while True:
            is_full = next_at >= next_full
            next_full += full_every_s if is_full else 0.0
            await asyncio.sleep(next_at + self.wire.delay_s(DATA_AGAIN_S) + GATHER_S - clock.monotonic())
            if not self.is_on or self.boots != boots:
                await asyncio.Event().wait()  # nobody is there to end the connection
            if is_full or not still_alive():
                yield Reading(clock.now(), f"b{boots}", next_at, 0.1, 2000, 1500, 0.0, FULL if is_full else None)
            next_at += heartbeat_s


@dataclass
class Witness:
    """What was reported of one server: the moments at which it was called lost and well again."""

    lost_at: list[float] = field(default_factory=list)
    back_at: list[float] = field(default_factory=list)
    suspicions: int = 0
    before: Phase = Phase.UNJUDGED

    async def report(self, _watcher: Watcher, verdict: Verdict, _reading: Reading | None) -> bool:
        if verdict.phase is self.before:
            return True
        now = asyncio.get_running_loop().time()
        if verdict.phase is Phase.LOST:
            self.lost_at.append(now)
        elif verdict.phase is Phase.WELL and len(self.back_at) < len(self.lost_at):
            self.back_at.append(now)
        self.suspicions += verdict.phase is Phase.SUSPECT
        self.before = verdict.phase
        return True


def watcher_of(number: int, host: Host, witness: Witness) -> Watcher:
    """The product's watcher on a simulated host, with the default rules."""
    clock = LoopClock()
    senses = Senses(host, host, KeyLogin(Path("/nowhere")), clock, Rules(), HEARTBEAT_S, FULL_EVERY_S)  # type: ignore[arg-type]
    server = WatchedServer(f"vps-{number}", SshEndpoint("192.0.2.1", 22, "root"), ("k",))
    return Watcher(server, senses, witness.report)


async def lose_power(servers: int, loss: float, dice: random.Random) -> dict[str, float]:
    """Each server loses its power once, for two minutes."""
    found_s: list[float] = []
    seen_back_s: list[float] = []

    async def one(number: int) -> None:
        host, witness = Host(Wire(loss, random.Random(dice.random()))), Witness()
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(watcher_of(number, host, witness).run())
        await asyncio.sleep(dice.uniform(60, 600))
        off_at = loop.time()
        host.is_on = False
        await asyncio.sleep(120)
        host.is_on, host.boots, on_at = True, 2, loop.time()
        await asyncio.sleep(120)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert len(witness.lost_at) == len(witness.back_at) == 1, f"lost {witness.lost_at}, back {witness.back_at}"
        found_s.append(witness.lost_at[0] - off_at)
        seen_back_s.append(witness.back_at[0] - on_at)

    await asyncio.gather(*(one(number) for number in range(servers)))
    found_s.sort()
    seen_back_s.sort()
    return {
        "power_losses": servers,
        "found_p50_s": found_s[len(found_s) // 2],
        "found_p99_s": found_s[int(0.99 * (len(found_s) - 1))],
        "found_max_s": found_s[-1],
        "back_p50_s": seen_back_s[len(seen_back_s) // 2],
        "back_max_s": seen_back_s[-1],
    }


async def stay_well(servers: int, seconds: float, loss: float, dice: random.Random) -> dict[str, float]:
    """Nothing happens but lost packets."""
    witnesses = [Witness() for _ in range(servers)]
    tasks = [
        asyncio.create_task(watcher_of(number, Host(Wire(loss, random.Random(dice.random()))), witness).run())
        for number, witness in enumerate(witnesses)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "false_incidents": sum(len(witness.lost_at) for witness in witnesses),
        "suspicions": sum(witness.suspicions for witness in witnesses),
    }


def in_virtual_time(work: Awaitable[dict[str, float]]) -> dict[str, float]:
    async def run() -> dict[str, float]:
        return await work

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def a_share_of_the_week(arguments: tuple[int, int, float, float]) -> dict[str, float]:
    """For a process of its own."""
    seed, servers, seconds, loss = arguments
    return in_virtual_time(stay_well(servers, seconds, loss, random.Random(seed)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--losses", type=int, default=200)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--servers", type=int, default=100)
    parser.add_argument("--packet-loss", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun = time.monotonic()
    found = in_virtual_time(lose_power(given.losses, given.packet_loss, random.Random(given.seed)))
    print(
        f"{given.losses} power losses, {given.packet_loss:.0%} of packets lost: confirmed after "
        f"p50 {found['found_p50_s']:.1f} s, p99 {found['found_p99_s']:.1f} s, at most {found['found_max_s']:.1f} s "
        f"(bar: p99 {BAR_P99_S:.0f} s); come-back seen after p50 {found['back_p50_s']:.1f} s, at most "
        f"{found['back_max_s']:.1f} s",
        flush=True,
    )
    processes = 2
    shares = [
        (given.seed + part, given.servers // processes, given.days * 86_400, given.packet_loss)
        for part in range(processes)
    ]
    with multiprocessing.Pool(processes) as pool:
        parts = pool.map(a_share_of_the_week, shares)
    week = {name: sum(part[name] for part in parts) for name in parts[0]}
    print(
        f"{given.days:g} days of {given.servers} servers: {week['false_incidents']:.0f} false incidents (bar: 0), "
        f"{week['suspicions']:.0f} suspicions cleared by a fresh look. Took {time.monotonic() - begun:.0f} s."
    )
    path = Path("bench-results/detect.json")
    path.parent.mkdir(exist_ok=True)
    result = {**vars(given), **found, **week, "bar_p99_s": BAR_P99_S}
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if found["found_p99_s"] <= BAR_P99_S and week["false_incidents"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
