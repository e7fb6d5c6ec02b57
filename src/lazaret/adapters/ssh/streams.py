"""Streams of readings over SSH. Fulfils `probing.streams.ReadingStreams`.

One connection and one channel per server; lines are taken as they arrive, without a task of their own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

import asyncssh

from lazaret.adapters.ssh.access import open_connection
from lazaret.adapters.ssh.express import take_express
from lazaret.kernel.clock import Clock
from lazaret.probing.reading import (
    LONGEST_LINE,
    NOTHING_KNOWN,
    Reading,
    UnreadableReading,
    beginning_of,
    only_goes_on,
    parse_reading,
)
from lazaret.probing.streams import StillAlive, read_all
from lazaret.servers.access import ConnectionLost, KeyLogin, SshEndpoint

SCRIPT = files("lazaret.probing").joinpath("stream.sh").read_text()
WAITING_LINES = 64
"""Lines kept for a reader that is busy, more than arrive at once; then the oldest goes: only the newest counts."""


class SshReadingStreams:
    """Opens streams with one key. `on_unreadable` is told of each line that is no reading."""

    def __init__(
        self, login: KeyLogin, clock: Clock, *, on_unreadable: Callable[[SshEndpoint], None] = lambda _: None
    ) -> None:
        self._login = login
        self._clock = clock
        self._on_unreadable = on_unreadable

    @asynccontextmanager
    async def open(
        self,
        endpoint: SshEndpoint,
        *,
        host_keys: Sequence[str],
        heartbeat_s: float,
        full_every_s: float,
        still_alive: StillAlive = read_all,
        timeout_s: float = 15,
    ) -> AsyncIterator[AsyncIterator[Reading]]:
        # Readings are the signs of life: keepalives beside them would cost as much again.
        async with open_connection(endpoint, host_keys, self._login, timeout_s, keepalive=False) as connection:
            command = f"exec /bin/sh -s -- {heartbeat_s:g} {max(1, round(full_every_s))} 2>/dev/null"
            channel, lines = await self._start(connection, endpoint, command, still_alive)
            try:
                yield self._readings(lines, endpoint)
            finally:
                channel.abort()

    async def _start(
        self, connection: asyncssh.SSHClientConnection, endpoint: SshEndpoint, command: str, still_alive: StillAlive
    ) -> tuple["asyncssh.SSHClientChannel[bytes]", "_Lines"]:
        try:
            channel, session = await connection.create_session(lambda: _Lines(still_alive), command, encoding=None)
            channel.write(SCRIPT.encode())
        except (asyncssh.Error, OSError) as error:
            raise ConnectionLost(f"{endpoint.address} opens no session: {type(error).__name__}.") from None
        assert isinstance(session, _Lines)
        take_express(connection, channel)
        return channel, session

    async def _readings(self, lines: "_Lines", endpoint: SshEndpoint) -> AsyncIterator[Reading]:
        while (line := await lines.next()) is not None:
            try:
                reading = parse_reading(line, at=self._clock.now())
            except UnreadableReading:
                self._on_unreadable(endpoint)
                continue
            lines.known = beginning_of(reading.boot_id)
            yield reading
        raise ConnectionLost(f"The stream of {endpoint.address} ended.")


class _Lines(asyncssh.SSHClientSession[bytes]):
    """Cuts what arrives into lines and wakes the one reader, but for lines that only say what `still_alive` takes."""

    def __init__(self, still_alive: StillAlive) -> None:
        self.known = NOTHING_KNOWN
        """How a line begins that comes from the boot of the newest reading."""
        self._still_alive = still_alive
        self._rest = b""
        self._lines: deque[bytes] = deque(maxlen=WAITING_LINES)
        self._is_over = False
        self._wake: asyncio.Future[None] | None = None

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002 - the library's name
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""  # what follows is unreadable as well, and is counted
        for line in lines:
            if self._lines or not only_goes_on(line, self.known) or not self._still_alive():
                self._lines.append(line)
                self._rouse()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the library's name
        self._is_over = True
        self._rouse()

    async def next(self) -> bytes | None:
        """The next line, or None when there will be none."""
        while not self._lines:
            if self._is_over:
                return None
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._lines.popleft()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
