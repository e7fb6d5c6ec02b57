"""The doors of a simulated host's services: a port each, that answers every HTTP request with 200 and an empty page."""

import asyncio
import socket
from collections.abc import Collection
from contextlib import suppress

from lazaret.lab.simulated_network import listening

_PATIENCE_S = 5
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ServiceDoors:
    """The open ports of one host."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._open: dict[int, socket.socket] = {}
        self._answering: set[asyncio.Task[None]] = set()

    def set(self, ports: Collection[int]) -> None:
        """Exactly these are open from now on."""
        loop = asyncio.get_running_loop()
        for port in [port for port in self._open if port not in ports]:
            loop.remove_reader(self._open[port].fileno())
            self._open.pop(port).close()
        for port in ports:
            if port not in self._open:
                self._open[port] = listening(self._address, port, backlog=16)
                loop.add_reader(self._open[port].fileno(), self._accept, self._open[port])

    def _accept(self, door: socket.socket) -> None:
        with suppress(OSError):  # the peer may be gone already
            connected, _ = door.accept()
            task = asyncio.create_task(_answer(connected))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)


async def _answer(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    connected.setblocking(False)
    with connected, suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            if await loop.sock_recv(connected, 65536):
                await loop.sock_sendall(connected, _ANSWER)
