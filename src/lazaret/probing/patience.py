"""A time limit that each sign of life pushes on, for the price of one timer per limit instead of one per sign."""

import asyncio
from types import TracebackType


class Patience:
    """`async with` it: raises `TimeoutError` inside the block when no `sign` came for `limit_s` seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._heard_at: float | None = self._loop.time()
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    def sign(self) -> None:
        """There was one, just now."""
        self._heard_at = self._loop.time()

    def rest(self) -> None:
        """What happens until the next sign is our own doing, however long it takes."""
        self._heard_at = None

    def _look(self) -> None:
        """The timer fired: the limit is over, or there were signs meanwhile and the rest of it is waited for."""
        now = self._loop.time()
        ends_at = (now if self._heard_at is None else self._heard_at) + self._limit_s
        if ends_at <= now:
            self._timer = None
            self._timeout.reschedule(now)
        else:
            self._timer = self._loop.call_at(ends_at, self._look)

    async def __aenter__(self) -> "Patience":
        await self._timeout.__aenter__()
        self.sign()
        self._timer = self._loop.call_later(self._limit_s, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)
