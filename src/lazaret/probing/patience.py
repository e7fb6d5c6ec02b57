"""A time limit that each sign of life pushes on, for the price of one timer for all of them instead of one each."""

import asyncio
import math
from types import TracebackType
from weakref import WeakKeyDictionary

_LOOKS_PER_LIMIT = 40
"""At most so often are all looked at, however many there are: a limit may end late by one part in so many."""
_HELD_UP_S = 0.1
"""A look that comes later than this after its time says more about us than about anybody else."""
_RESOLUTION_S = 0.001
"""A timer may come so much too early."""


class Patience:
    """`async with` it: raises `TimeoutError` inside the block when no `sign` came for `limit_s` seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._timeout = asyncio.timeout(None)
        self.ends_at = math.inf
        """By the loop's clock; infinite while it rests."""

    def sign(self) -> None:
        """There was one, just now."""
        self.ends_at = self._loop.time() + self._limit_s

    def rest(self) -> None:
        """What happens until the next sign is our own doing, however long it takes."""
        self.ends_at = math.inf

    @property
    def rests(self) -> bool:
        return self.ends_at == math.inf

    def end(self) -> None:
        """It is over."""
        self._timeout.reschedule(self._loop.time())

    async def __aenter__(self) -> "Patience":
        await self._timeout.__aenter__()
        self.sign()
        _lookout(self._loop, self._limit_s).add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _lookout(self._loop, self._limit_s).discard(self)
        await self._timeout.__aexit__(kind, error, trace)


class _Lookout:
    """Looks when the first of those with one limit may be over, and then at all of them."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._all: set[Patience] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._was_held_up = False

    def add(self, patience: Patience) -> None:
        self._all.add(patience)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(patience.ends_at, self._look)

    def discard(self, patience: Patience) -> None:
        self._all.discard(patience)
        if not self._all and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._held_up(now) and self._first() <= now + _RESOLUTION_S:
            for patience in [one for one in self._all if one.ends_at <= now + _RESOLUTION_S]:
                self._all.discard(patience)
                patience.end()
        self._timer = None
        if self._all:
            latest, soonest = now + self._limit_s, now + self._limit_s / _LOOKS_PER_LIMIT
            self._timer = loop.call_at(max(min(self._first(), latest), soonest), self._look)

    def _first(self) -> float:
        """When the first is over, if it hears nothing."""
        return min(one.ends_at for one in self._all)

    def _held_up(self, now: float) -> bool:
        """Whether this process had no time: signs that came meanwhile are not read yet. Not twice in a row."""
        assert self._timer is not None
        self._was_held_up = now - self._timer.when() > _HELD_UP_S and not self._was_held_up
        return self._was_held_up


_LOOKOUTS: "WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Lookout]]" = WeakKeyDictionary()


def _lookout(loop: asyncio.AbstractEventLoop, limit_s: float) -> _Lookout:
    of_loop = _LOOKOUTS.setdefault(loop, {})
    if limit_s not in of_loop:
        of_loop[limit_s] = _Lookout(limit_s)
    return of_loop[limit_s]
