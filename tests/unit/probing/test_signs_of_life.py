"""Lines that only say that a server goes on: which they are, and when the watcher must read them all the same."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lazaret.kernel.clock import ManualClock
from lazaret.probing.reading import NOTHING_KNOWN, FullReading, Reading, beginning_of, only_goes_on
from lazaret.probing.rules import Rules
from lazaret.probing.verdict import Verdict
from lazaret.probing.watcher import Senses, WatchedServer, Watcher
from lazaret.servers.access import ConnectionLost, KeyLogin, PortState, SshEndpoint

LIGHT = b'{"boot":"b-1","up":1.5,"load":0.1,"mem":2048,"avail":1024,"now":5.0}'
FULL = FullReading("m", {}, None, True, (), False, "v")


@pytest.mark.parametrize(
    ("line", "known", "goes_on"),
    [
        (LIGHT, beginning_of("b-1"), True),
        (LIGHT, beginning_of("b-2"), False),
        (LIGHT, beginning_of("b"), False),
        (LIGHT, NOTHING_KNOWN, False),
        (LIGHT[:-1], beginning_of("b-1"), False),
        (LIGHT[:-1] + b',"full":{}}', beginning_of("b-1"), False),
        (b"", beginning_of(""), False),
    ],
    ids=["same boot", "another boot", "longer name", "nothing known", "cut off", "full", "empty"],
)
def test_only_a_light_line_of_the_same_boot_needs_no_reading(line: bytes, known: bytes, goes_on: bool) -> None:
    assert only_goes_on(line, known) is goes_on


class Place:
    """A server whose stream says what the test lets it say; a `None` ends the stream."""

    def __init__(self, told: bool = True) -> None:
        self.clock = ManualClock()
        self.told = told
        self.verdicts: list[Verdict] = []
        self.still_alive: Callable[[], bool] = lambda: False
        self.said: asyncio.Queue[Reading | None] = asyncio.Queue()
        senses = Senses(self, self, KeyLogin(Path("/nowhere")), self.clock, Rules(), 10, 60)  # type: ignore[arg-type]
        self.watcher = Watcher(
            WatchedServer("vps-1", SshEndpoint("192.0.2.1", 22, "root"), ("k",)), senses, self.report
        )

    async def report(self, _: Watcher, verdict: Verdict, __: Reading | None) -> bool:
        self.verdicts.append(verdict)
        return self.told

    async def probe_port(self, *_: object, **__: object) -> PortState:
        return PortState.OPEN

    @asynccontextmanager
    async def open(self, *_: object, still_alive: Any, **__: object) -> AsyncIterator[AsyncIterator[Reading]]:
        self.still_alive = still_alive
        yield self._readings()

    async def _readings(self) -> AsyncIterator[Reading]:
        while (reading := await self.said.get()) is not None:
            yield reading
        raise ConnectionLost("The stream ended.")

    async def says(self, *, full: bool = False) -> None:
        self.said.put_nowait(Reading(self.clock.now(), "b-1", 5.0, 0.1, 2000, 1000, 0.0, FULL if full else None))
        for _ in range(10):
            await asyncio.sleep(0)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.watcher._follow())
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_sign_of_a_server_that_is_well_is_noted_without_a_verdict() -> None:
    place = Place()
    async with place.watched():
        await place.says(full=True)
        told = len(place.verdicts)
        place.clock.advance(10)
        assert place.still_alive()
        assert place.watcher.watch.well_at == place.clock.now()
        assert len(place.verdicts) == told


async def test_before_the_first_reading_every_line_is_read() -> None:
    place = Place()
    async with place.watched():
        assert not place.still_alive()


async def test_what_could_not_be_told_is_told_with_the_next_line() -> None:
    place = Place(told=False)
    async with place.watched():
        await place.says()
        assert not place.still_alive()
        place.told = True
        await place.says()
        assert place.still_alive()


async def test_while_a_reading_is_being_judged_the_next_waits_its_turn() -> None:
    place = Place()
    going_on = asyncio.Event()

    async def report(*_: object) -> bool:
        await going_on.wait()
        return True

    place.watcher._report = report
    async with place.watched():
        await place.says()
        assert not place.still_alive()
        going_on.set()
        await asyncio.sleep(0.001)
        assert place.still_alive()


async def test_without_a_stream_there_are_no_signs() -> None:
    place = Place()
    async with place.watched():
        await place.says()
        place.said.put_nowait(None)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not place.watcher.streaming
        assert not place.still_alive()
