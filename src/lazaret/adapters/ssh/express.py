"""A short way for the one kind of packet that a stream of readings consists of.

asyncssh is written for every packet that there is; on an open stream nearly all are "some bytes for this channel",
sealed with AES-GCM. Those are opened here in one call. Everything else, and everything about
which there is the least doubt, goes asyncssh's own way with nothing touched, so keys are exchanged anew, windows grow
and errors are found as ever. It looks into asyncssh's private parts, so it is used only where all of them are as
known. Contract tests hold both ways against servers of asyncssh, the lab's real hosts against OpenSSH. Why:
docs/decisions/0041.
"""

import asyncio
import os
from typing import Any

import asyncssh
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lazaret.adapters.ssh.harvest import harvest
from lazaret.kernel.logging import get_logger

logger = get_logger(__name__)

CHANNEL_DATA = 94
_LENGTH, _TAG, _PADDING = 4, 16, 1
_DATA_HEADER = 9
"""Type, channel and length before a channel's data."""
_SHORTEST = 36
"""A packet of data with nothing in it."""
PIECE = 8 * 1024
"""Bytes read at a time; asyncio asks for 256 KiB, for which memory is mapped and given back with each reading."""
MOST_PIECES = 32
"""Read of one server before the others have their turn."""

_OF_CONNECTION = ("_transport", "_inpbuf", "_recv_handler", "_recv_pkthdr", "_recv_seq", "_recv_encryption")
_OF_CHANNEL = ("_recv_chan", "_recv_window", "_init_recv_window", "_recv_state", "_recv_paused", "_session")


def take_express(connection: asyncssh.SSHClientConnection, channel: "asyncssh.SSHClientChannel[bytes]") -> bool:
    """Put the short way in front of `connection`, for data of `channel`. False where it does not fit."""
    parts = [hasattr(connection, name) for name in _OF_CONNECTION] + [hasattr(channel, name) for name in _OF_CHANNEL]
    transport = getattr(connection, "_transport", None)
    if not all(parts) or not isinstance(transport, asyncio.Transport):
        return False
    if getattr(connection, "_decompressor", True) is not None:
        return False
    _Express(connection, channel, transport).stand_before()
    return True


class _Express(asyncio.Protocol):
    """Stands before the connection and hands on whatever it does not take."""

    def __init__(self, connection: Any, channel: Any, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._channel = channel
        self._transport = transport
        self._fd: int = transport.get_extra_info("socket").fileno()
        self._harvest = harvest()
        self._sealed_by: Any = None
        self._gcm: AESGCM | None = None
        self._cipher: Any = None

    def stand_before(self) -> None:
        """From now on the socket is read here, together with all others."""
        self._transport.set_protocol(self)
        self._transport.pause_reading()
        self._harvest.add(self._fd, self._read)

    def _read(self) -> None:
        """Something arrived, or the connection ended: which end it is, asyncio finds out by itself."""
        if self._transport.is_closing():
            return
        for _ in range(MOST_PIECES):
            try:
                data = os.read(self._fd, PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._harvest.remove(self._fd)
                self._transport.resume_reading()
                return
            try:
                self.data_received(data)
            except Exception:
                logger.exception("ssh.stream_broke")
                self._transport.abort()
            if len(data) < PIECE or self._transport.is_closing():
                return

    def data_received(self, data: bytes) -> None:
        while data:
            taken = self._take(data)
            if not taken:
                self._connection.data_received(data)
                return
            data = data[taken:]

    def _take(self, data: bytes) -> int:
        """Deliver the packet that `data` begins with if it is for our channel; its size, or 0 with nothing changed."""
        connection, channel = self._connection, self._channel
        if connection._inpbuf or connection._recv_handler != connection._recv_pkthdr:
            return 0
        size = int.from_bytes(data[:_LENGTH], "big") + _LENGTH + _TAG
        if not _SHORTEST <= size <= len(data):
            return 0
        if connection._recv_encryption is not self._sealed_by:
            self._learn(connection._recv_encryption)
        if self._gcm is None:
            return 0
        sealed_with: bytes = self._cipher._iv
        try:
            packet = self._gcm.decrypt(sealed_with, data[_LENGTH:size], data[:_LENGTH])
        except InvalidTag:
            return 0  # asyncssh finds the same, and ends the connection
        start = _PADDING + _DATA_HEADER
        wanted = packet[1:6] == CHANNEL_DATA.to_bytes(1, "big") + channel._recv_chan.to_bytes(4, "big")
        length = int.from_bytes(packet[6:start], "big")
        if not wanted or start + length + packet[0] != len(packet) or not self._may_deliver(length):
            return 0
        counter = int.from_bytes(sealed_with[4:], "big") + 1 & 0xFFFFFFFFFFFFFFFF
        self._cipher._iv = sealed_with[:4] + counter.to_bytes(8, "big")
        connection._recv_seq = connection._recv_seq + 1 & 0xFFFFFFFF
        channel._recv_window -= length
        channel._session.data_received(packet[start : start + length], None)
        return size

    def _may_deliver(self, length: int) -> bool:
        """Nothing is to be said to the server, and nobody waits with an older piece."""
        channel = self._channel
        return (
            length > 0
            and channel._recv_window - length >= channel._init_recv_window / 2
            and channel._recv_state == "open"
            and not channel._recv_paused
            and channel._session is not None
        )

    def _learn(self, encryption: Any) -> None:
        """After each exchange of keys: whether this cipher is one that we can open."""
        self._sealed_by = encryption
        self._cipher = getattr(encryption, "_cipher", None)
        key, counter = getattr(self._cipher, "_key", None), getattr(self._cipher, "_iv", None)
        is_gcm = type(self._cipher).__name__ == "GCMCipher" and isinstance(counter, bytes) and len(counter) == 12
        self._gcm = AESGCM(key) if is_gcm and isinstance(key, bytes) else None

    # What a transport may tell besides is the connection's.

    def eof_received(self) -> bool | None:
        return self._connection.eof_received()  # type: ignore[no-any-return]

    def connection_lost(self, exc: Exception | None) -> None:
        self._harvest.remove(self._fd)
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
