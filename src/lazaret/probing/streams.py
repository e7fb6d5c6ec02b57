"""One open connection per server that brings readings: the Protocol. SSH and the simulated fleet fulfil it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from lazaret.probing.reading import Reading
from lazaret.servers.access import SshEndpoint

StillAlive = Callable[[], bool]
"""Told that the same boot goes on, and nothing else. True: that was all; False: it must be read as a reading."""


def read_all() -> bool:
    """Every line is to come as a reading."""
    return False


class ReadingStreams(Protocol):
    """Opens streams. Nothing is installed on the server, and its loop ends with the connection."""

    def open(
        self,
        endpoint: SshEndpoint,
        *,
        host_keys: Sequence[str],
        heartbeat_s: float,
        full_every_s: float,
        still_alive: StillAlive = read_all,
        timeout_s: float = 15,
    ) -> AbstractAsyncContextManager[AsyncIterator[Reading]]:
        """A connection on which a reading comes every `heartbeat_s`, a full one at once and every `full_every_s`.

        Most say only that the boot of the newest reading goes on; such a one is told to `still_alive`, which costs a
        tenth of a reading, and comes as a reading only if that says so.

        Raises any `AccessError` while opening. The iterator ends with `ConnectionLost` when the connection does; a
        server that stops talking while the connection stays open is the caller's to notice. Lines that are no
        reading are skipped and counted.
        """
        ...
