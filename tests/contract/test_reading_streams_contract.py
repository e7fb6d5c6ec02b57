"""Streams of readings over SSH: what arrives is the same by the short way and by asyncssh's own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncssh
import pytest
from asyncssh.connection import SSHServerConnection
from asyncssh.constants import MSG_IGNORE
from tests.contract.ssh_hosts import ADDRESS, public_text

from lazaret.adapters.ssh import streams as ssh_streams
from lazaret.adapters.ssh.streams import SshReadingStreams
from lazaret.kernel.clock import SystemClock
from lazaret.servers.access import ConnectionLost, KeyLogin, SshEndpoint

READINGS = 40


def line_of(number: int, *, padding: int = 0) -> bytes:
    raw = {"boot": "b", "up": number, "load": 0.5, "mem": 2048, "avail": 1024, "now": 0, "more": "x" * padding}
    return json.dumps(raw).encode() + b"\n"


class Talker(asyncssh.SSHServer):
    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return True


class LikeOpenSsh(SSHServerConnection):
    """asyncssh's server puts an empty packet before each one that it sends; OpenSSH's does not."""

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)


@asynccontextmanager
async def talking(talk: Any, **options: Any) -> AsyncIterator[tuple[SshEndpoint, list[str]]]:
    """A server that says what `talk` writes on each session."""

    async def process(session: asyncssh.SSHServerProcess[bytes]) -> None:
        await talk(session)

    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.create_server(
        Talker, ADDRESS, 0, server_host_keys=[key], process_factory=process, encoding=None, **options
    )
    try:
        yield SshEndpoint(ADDRESS, listener.get_port()), [public_text(key)]
    finally:
        listener.close()
        await listener.wait_closed()


@pytest.fixture
def streams(tmp_path: Any) -> SshReadingStreams:
    path = tmp_path / "key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    return SshReadingStreams(KeyLogin(path), SystemClock())


@pytest.fixture(params=["short way", "asyncssh's own"])
def by_way_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(asyncssh.connection, "SSHServerConnection", LikeOpenSsh)
    if request.param != "short way":
        monkeypatch.setattr(ssh_streams, "take_express", lambda *_: False)
    return str(request.param)


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what asyncssh itself was given to read."""
    given: list[int] = []
    real = asyncssh.SSHClientConnection.data_received

    def data_received(self: Any, data: bytes, datatype: Any = None) -> None:
        given.append(len(data))
        real(self, data, datatype)

    monkeypatch.setattr(asyncssh.SSHClientConnection, "data_received", data_received)
    return given


async def uptimes(streams: SshReadingStreams, endpoint: SshEndpoint, keys: list[str], most: int) -> list[float]:
    found: list[float] = []
    async with asyncio.timeout(20), streams.open(endpoint, host_keys=keys, heartbeat_s=1, full_every_s=60) as readings:
        async for reading in readings:
            found.append(reading.uptime_s)
            if len(found) == most:
                break
    return found


def counting(*, gap_s: float = 0.01, padding: int = 0) -> Any:
    async def talk(session: asyncssh.SSHServerProcess[bytes]) -> None:
        for number in range(READINGS):
            session.stdout.write(line_of(number, padding=padding))
            await asyncio.sleep(gap_s)
        await session.wait_closed()

    return talk


EVERYTHING = [float(number) for number in range(READINGS)]


@pytest.mark.parametrize(
    ("talk", "options"),
    [
        (counting(), {}),
        (counting(gap_s=0), {}),
        (counting(padding=50_000), {}),
        (counting(padding=1000), {"rekey_bytes": 3000}),
        (counting(), {"encryption_algs": "chacha20-poly1305@openssh.com"}),
        (counting(), {"encryption_algs": "aes256-ctr"}),
        (counting(), {"compression_algs": "zlib@openssh.com"}),
    ],
    ids=["one by one", "in bursts", "in many packets", "with new keys", "ChaCha20", "CTR", "compressed"],
)
async def test_every_reading_arrives_once_and_in_order(
    streams: SshReadingStreams, by_way_of: str, talk: Any, options: dict[str, Any]
) -> None:
    async with talking(talk, **options) as (endpoint, keys):
        assert await uptimes(streams, endpoint, keys, READINGS) == EVERYTHING


async def test_a_reading_by_itself_takes_the_short_way(streams: SshReadingStreams, monkeypatch, long_way) -> None:
    monkeypatch.setattr(asyncssh.connection, "SSHServerConnection", LikeOpenSsh)
    async with (
        talking(counting()) as (endpoint, keys),
        streams.open(endpoint, host_keys=keys, heartbeat_s=1, full_every_s=60) as readings,
    ):
        await anext(readings)
        before = len(long_way)
        for _ in range(READINGS - 1):
            await anext(readings)
        assert len(long_way) - before < READINGS / 2


async def test_what_was_tampered_with_ends_the_connection(streams: SshReadingStreams, by_way_of: str) -> None:
    """A packet whose seal is broken is no reading: nothing of it is delivered, and the stream is over."""

    async def talk(session: asyncssh.SSHServerProcess[bytes]) -> None:
        session.stdout.write(line_of(1))
        await asyncio.sleep(0.2)
        connection = session.get_extra_info("connection")
        real = connection._send
        connection._send = lambda data: real(data[:-1] + bytes([data[-1] ^ 1]))
        session.stdout.write(line_of(2))
        await asyncio.sleep(5)

    async with talking(talk) as (endpoint, keys):
        async with asyncio.timeout(10):
            async with streams.open(endpoint, host_keys=keys, heartbeat_s=1, full_every_s=60) as readings:
                assert (await anext(readings)).uptime_s == 1
                with pytest.raises(ConnectionLost):
                    await anext(readings)


async def test_a_window_that_runs_out_is_opened_again(streams: SshReadingStreams, by_way_of: str) -> None:
    """More than the two MiB that a channel may send before it must be told to go on."""

    async def talk(session: asyncssh.SSHServerProcess[bytes]) -> None:
        for number in range(120):
            session.stdout.write(line_of(number, padding=30_000))
            await session.stdout.drain()
            await asyncio.sleep(0.002)
        await session.wait_closed()

    async with talking(talk) as (endpoint, keys):
        assert (await uptimes(streams, endpoint, keys, 120))[-1] == 119


async def test_lines_that_only_go_on_are_told_and_not_read(streams: SshReadingStreams, by_way_of: str) -> None:
    """Until the teller wants to read: then nothing of what follows is left out, and another boot is always read."""
    signs = 0

    def still_alive() -> bool:
        nonlocal signs
        signs += 1
        return signs <= 5

    async def talk(session: asyncssh.SSHServerProcess[bytes]) -> None:
        for number in range(10):
            boot = "b" if number < 9 else "c"
            raw = {"boot": boot, "up": number, "load": 0.5, "mem": 2048, "avail": 1024, "now": 0}
            session.stdout.write(json.dumps(raw, separators=(",", ":")).encode() + b"\n")
            await asyncio.sleep(0.3 if number == 0 else 0.01)
        await session.wait_closed()

    found: list[float] = []
    async with (
        talking(talk) as (endpoint, keys),
        asyncio.timeout(20),
        streams.open(endpoint, host_keys=keys, heartbeat_s=1, full_every_s=60, still_alive=still_alive) as readings,
    ):
        async for reading in readings:
            found.append(reading.uptime_s)
            if reading.boot_id == "c":
                break
    assert found == [0, 6, 7, 8, 9]


async def test_a_stream_that_ends_is_lost(streams: SshReadingStreams, by_way_of: str) -> None:
    async def talk(session: asyncssh.SSHServerProcess[bytes]) -> None:
        session.stdout.write(line_of(1))
        await asyncio.sleep(0.3)
        session.get_extra_info("connection").abort()

    async with (
        talking(talk) as (endpoint, keys),
        asyncio.timeout(10),
        streams.open(endpoint, host_keys=keys, heartbeat_s=1, full_every_s=60) as readings,
    ):
        assert (await anext(readings)).uptime_s == 1
        with pytest.raises(ConnectionLost):
            await anext(readings)
