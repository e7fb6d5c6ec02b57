"""Reads all open streams together, a few times a second, instead of being woken for every packet.

To be woken for one packet costs more than to read it, and a reading that waits a moment for company loses nothing. Owns
when sockets are read, and knows nothing of what comes out of them. Why: docs/decisions/0046.
"""

import asyncio
import selectors
from collections.abc import Callable
from weakref import WeakKeyDictionary

GATHER_S = 0.2
"""What arrived first waits so long for what comes after it: well below the patience that a stream is owed."""
_HARVESTS: "WeakKeyDictionary[asyncio.AbstractEventLoop, Harvest]" = WeakKeyDictionary()


class Harvest:
    """The sockets of one event loop. It costs nothing while nothing arrives."""

    def __init__(self) -> None:
        self._sockets = selectors.DefaultSelector()
        self._round: asyncio.TimerHandle | None = None
        """The next one; None while nothing arrives."""

    def add(self, fd: int, take: Callable[[], None]) -> None:
        """Call `take`, which must read from `fd` and raise nothing, in each round that finds something there."""
        self._sockets.register(fd, selectors.EVENT_READ, take)
        if self._round is None:
            self._listen()

    def remove(self, fd: int) -> None:
        """Before the socket is closed. One that is not here is no error."""
        if fd in self._sockets.get_map():
            self._sockets.unregister(fd)
        if self._round is None and not self._sockets.get_map():
            asyncio.get_running_loop().remove_reader(self._sockets.fileno())

    def _listen(self) -> None:
        """A set of sockets (`epoll`, `kqueue`) can itself be waited for, like a socket."""
        asyncio.get_running_loop().add_reader(self._sockets.fileno(), self._begin)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sockets.fileno())
        self._round = loop.call_later(GATHER_S, self._reap)

    def _reap(self) -> None:
        found = self._sockets.select(0)
        for key, _ in found:
            key.data()
        self._round = asyncio.get_running_loop().call_later(GATHER_S, self._reap) if found else None
        if self._round is None and self._sockets.get_map():
            self._listen()


def harvest() -> Harvest:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _HARVESTS.get(loop)
    if found is None:
        found = _HARVESTS[loop] = Harvest()
    return found
