"""Every fault on a real Debian host is seen from outside, and gone when it is healed.

Needs root on Linux. One host, booted once; every test leaves it well.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from lazaret.kernel.errors import Conflict, InvalidInput, NotFound
from lazaret.lab.calls import Call
from lazaret.lab.faults import FAULTS
from lazaret.lab.instance import Lab
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.nspawn_rack import NspawnRack
from lazaret.lab.requirements import missing_requirements

MISSING = missing_requirements()
pytestmark = [
    pytest.mark.real_host,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

REMEMBERED = "/root/remembered"
EXPECTED_S = 30
"""So long what must come is waited for, on a machine with much else to do."""
ABSENT_S = 0.6
"""So long it is waited for what must not come."""


@dataclass
class Ward:
    """A lab with one real server."""

    lab: Lab
    server_id: int

    @property
    def host(self) -> NspawnHost:
        host = self.lab.cloud.host(self.server_id)
        assert isinstance(host, NspawnHost)
        return host

    async def inflict(self, name: str, **parameters: object) -> None:
        await self.lab.cloud.inflict(self.server_id, name, parameters)
        assert name in await self.faults()

    async def heal(self, name: str | None = None) -> list[str]:
        healed = await self.lab.cloud.heal(self.server_id, name)
        assert name not in await self.faults()
        return healed

    async def faults(self) -> list[str]:
        return [fault.name for fault in await self.lab.cloud.faults(self.server_id)]

    async def inside(self, script: str, *, timeout_s: float = 60) -> str:
        return (await self.host.run_inside("sh", "-c", script, timeout_s=timeout_s)).strip()

    async def login(self) -> asyncssh.SSHClientConnection:
        """Into a host that answers; its boot may still be under way."""
        password = self.lab.cloud.server(self.server_id).root_password.get_secret_value()
        while True:
            try:
                return await asyncssh.connect(
                    self.host.address,
                    username="root",
                    password=password,
                    known_hosts=None,
                    client_keys=None,
                    config=None,
                    agent_path=None,
                    login_timeout=20,
                )
            except (asyncssh.Error, OSError):
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[asyncssh.SSHClientConnection, None]:
        """A connection that is dropped without a word in the end: a host with a fault might never answer it."""
        connection = await self.login()
        try:
            yield connection
        finally:
            connection.abort()

    def ear(self) -> socket.socket:
        """For datagrams of the host to this machine's end of its network."""
        assert isinstance(self.lab.rack, NspawnRack)
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind((self.lab.rack.network.gateway, 0))
        ear.setblocking(False)
        return ear

    async def host_key(self) -> str:
        found = await asyncssh.get_server_host_key(self.host.address, config=None)
        assert found is not None
        return found.get_fingerprint()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    directory: Path = tmp_path_factory.mktemp("lab")
    async with Lab(name=f"f{os.getpid()}", hosts=1, simulated=False, time_scale=0.002, state_dir=directory) as lab:
        ward = Ward(lab, lab.cloud.servers()[0].server_id)
        await ward.inside(f"echo precious > {REMEMBERED}")
        yield ward


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def well_again(ward: Ward) -> AsyncIterator[None]:
    """A test that fails takes its fault with it."""
    yield
    await ward.heal()


async def seen(host: NspawnHost, *, port: int = 22, patience_s: float = 0.8) -> str:
    """What somebody outside sees on a port: the beginning of a banner, `mute`, `silence`, or the error."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host.address, port), patience_s)
    except TimeoutError:
        return "silence"
    except OSError as error:
        return type(error).__name__
    try:
        return (await asyncio.wait_for(reader.read(3), patience_s)).decode()
    except (TimeoutError, ConnectionError):
        return "mute"
    finally:
        writer.close()


async def until_seen(host: NspawnHost, wanted: str = "SSH", *, within_s: float = 60) -> None:
    deadline_s = time.monotonic() + within_s
    while (found := await seen(host)) != wanted:
        assert time.monotonic() < deadline_s, f"still {found!r}"
        await asyncio.sleep(0.05)


async def test_power_lost_and_back(ward: Ward) -> None:
    await ward.inflict("power_off")
    assert (await seen(ward.host), ward.host.is_on) == ("silence", False)
    with pytest.raises(Conflict, match="off"):
        await ward.lab.cloud.inflict(ward.server_id, "hang")
    await ward.heal("power_off")
    await until_seen(ward.host)


async def test_hung_until_healed(ward: Ward) -> None:
    await ward.inflict("hang")
    assert await seen(ward.host) == "mute"
    with pytest.raises(Conflict, match="hangs"):
        await ward.lab.cloud.inflict(ward.server_id, "sshd_stopped")
    await ward.heal("hang")
    await until_seen(ward.host)


@pytest.mark.parametrize("direction", ["in", "out", "both"])
async def test_the_network_is_cut_in_one_direction_or_both(ward: Ward, direction: str) -> None:
    """What the host says still comes, or what we say still goes.

    The host speaks by datagrams: without our acknowledgements it would soon say nothing more in a stream.
    """
    comes, goes = {"in": (True, False), "out": (False, True), "both": (False, False)}[direction]

    async def is_heard() -> bool:
        return await ward.inside("cat /tmp/heard 2>/dev/null || true") == direction

    async with ward.session() as connection:
        echo = await connection.create_process("while read -r line; do echo $line > /tmp/heard; echo $line; done")
        with ward.ear() as ear:
            to = "/dev/udp/{}/{}".format(*ear.getsockname())
            await connection.create_process(f"while sleep 0.1 && kill -0 $PPID; do date +%s%N > {to}; done")
            assert await says_after(ear, 0, within_s=EXPECTED_S)
            await ward.inflict("cut", direction=direction)
            await asyncio.sleep(ABSENT_S)  # what was under way may still come
            echo.stdin.write(f"{direction}\n")
            assert await says_after(ear, time.time_ns(), within_s=EXPECTED_S if comes else ABSENT_S) is comes
        if goes:
            await until(is_heard, True, within_s=EXPECTED_S)
        else:
            assert not await is_heard()
        assert await seen(ward.host) == "silence"
        await ward.heal("cut")
        assert (await asyncio.wait_for(echo.stdout.readline(), 60)).strip() == direction
    await until_seen(ward.host)


async def test_a_cut_outlives_a_reboot(ward: Ward) -> None:
    await ward.inflict("cut")
    ward.lab.cloud.order(Call.REBOOT, ward.server_id, {})
    await ward.lab.cloud.settle()
    await ward.inside("until systemctl is-active --quiet ssh.service; do sleep 0.1; done")
    assert (await seen(ward.host), await ward.faults()) == ("silence", ["cut"])
    await ward.heal("cut")
    await until_seen(ward.host)


async def test_some_packets_are_lost(ward: Ward) -> None:
    assert await lost_of(ward, 60) == 0
    await ward.inflict("loss", percent=30)
    assert 10 <= await lost_of(ward, 60) <= 52, "51 % of the round trips are lost on average"
    await ward.heal("loss")
    assert await lost_of(ward, 60) == 0


async def test_packets_are_late_where_the_kernel_can_delay_them(ward: Ward) -> None:
    before_s = await round_trip_s(ward.host)
    try:
        await ward.inflict("delay", ms=200)
    except Conflict as refused:
        assert "sch_netem" in str(refused) and await ward.faults() == []
        await until_seen(ward.host)
        pytest.skip(str(refused))
    assert await round_trip_s(ward.host) > 0.19 > before_s
    await ward.heal("delay")
    assert await round_trip_s(ward.host) < 0.19


async def test_the_disk_is_full_until_the_noise_goes(ward: Ward) -> None:
    free = "df --output=avail -k / | tail -n 1"
    before = int(await ward.inside(free))
    await ward.inflict("disk_full", percent=99)
    async with ward.session() as connection:
        assert int(str((await connection.run(free)).stdout)) < before / 50
    await ward.heal("disk_full")
    assert abs(int(await ward.inside(free)) - before) < before / 100


async def test_a_fault_that_somebody_repairs_is_over(ward: Ward) -> None:
    await ward.inflict("disk_full")
    await ward.inside("find /var/log -xdev -type f -size +20M -exec truncate --size=0 {} +")
    assert await ward.faults() == []
    with pytest.raises(NotFound):
        await ward.lab.cloud.heal(ward.server_id, "disk_full")
    over = ward.lab.journal.entries(action="fault-over", server_id=ward.server_id)
    assert over[-1].note == "disk_full"
    await ward.inside("rm /var/log/lazaret-lab.noise")


async def test_sshd_is_stopped_and_its_sessions_end(ward: Ward) -> None:
    async with ward.session() as connection:
        await ward.inflict("sshd_stopped")
        await asyncio.wait_for(connection.wait_closed(), 30)
    assert await seen(ward.host) == "ConnectionRefusedError"
    assert "masked" in await ward.inside("systemctl is-enabled ssh.service || true")
    await ward.heal("sshd_stopped")
    await until_seen(ward.host)
    assert await ward.inside("systemctl is-enabled ssh.service") == "enabled"


async def test_a_reboot_ends_what_it_ends_by_nature(ward: Ward) -> None:
    await ward.inflict("sshd_stopped")
    await ward.inflict("hang")
    await ward.host.reboot()
    await until_seen(ward.host)
    assert await ward.faults() == []


async def test_the_hosts_own_firewall_locks_us_out(ward: Ward) -> None:
    with pytest.raises(Conflict, match="iptables"):
        await ward.lab.cloud.inflict(ward.server_id, "lock_out")
    get = "apt-get update -qq && apt-get install -y -qq --no-install-recommends iptables >/dev/null"
    await ward.inside(f"export DEBIAN_FRONTEND=noninteractive; {get}", timeout_s=240)
    rules = await ward.inside("iptables -w -S")
    async with ward.session() as connection:
        await ward.inflict("lock_out")
        assert await seen(ward.host) == "silence"
        assert await seen(ward.host, port=23) == "ConnectionRefusedError", "only SSH is locked"
        await ward.heal("lock_out")
        assert (await connection.run("echo back")).stdout == "back\n"
    assert await ward.inside("iptables -w -S") == rules
    await ward.inflict("lock_out")
    ward.lab.cloud.order(Call.FLUSH_FIREWALL, ward.server_id, {})
    await ward.lab.cloud.settle()
    assert await ward.faults() == []
    await until_seen(ward.host)


async def test_a_strangers_host_key(ward: Ward) -> None:
    keys = "cd /etc/ssh && sha256sum ssh_host_* && stat -c '%n %a %U' ssh_host_*"
    before, files = await ward.host_key(), await ward.inside(keys)
    async with ward.session() as connection:
        await ward.inflict("host_key")
        await asyncio.wait_for(connection.wait_closed(), 30)
    await until_seen(ward.host)
    assert await ward.host_key() != before
    await ward.heal("host_key")
    await until_seen(ward.host)
    assert (await ward.host_key(), await ward.inside(keys)) == (before, files)


async def test_wiped_and_put_back(ward: Ward) -> None:
    before = await ward.host_key()
    await ward.inflict("wiped")
    await until_seen(ward.host)
    assert await ward.host_key() != before
    async with ward.session() as connection:
        assert (await connection.run(f"cat {REMEMBERED}")).exit_status == 1
    await ward.heal("wiped")
    await until_seen(ward.host)
    assert await ward.host_key() == before
    async with ward.session() as connection:
        assert (await connection.run(f"cat {REMEMBERED}")).stdout == "precious\n"


async def test_without_docker_its_faults_are_refused(ward: Ward) -> None:
    if await ward.inside("command -v docker || true"):
        pytest.skip("Docker is there.")
    for name in ("docker_stopped", "container_crashed"):
        with pytest.raises(Conflict):
            await ward.lab.cloud.inflict(ward.server_id, name)
    assert await ward.faults() == []


async def test_wrong_words_change_nothing(ward: Ward) -> None:
    with pytest.raises(InvalidInput):
        await ward.lab.cloud.inflict(ward.server_id, "cut", {"direction": "up"})
    with pytest.raises(InvalidInput):
        await ward.lab.cloud.inflict(ward.server_id, "gremlins")
    assert set(ward.host.plays) | {"power_off"} == {fault.name for fault in FAULTS.values() if "real" in fault.hosts}


async def test_everything_at_once_is_healed_in_one_go(ward: Ward) -> None:
    before = await ward.host_key()
    for name in ("cut", "disk_full", "host_key", "hang"):
        await ward.inflict(name)
    with pytest.raises(Conflict, match="mix up"):
        await ward.lab.cloud.inflict(ward.server_id, "wiped")
    assert sorted(await ward.heal()) == ["cut", "disk_full", "hang", "host_key"]
    await until_seen(ward.host)
    assert (await ward.host_key(), await ward.faults()) == (before, [])


async def test_a_reinstall_ends_a_wipe_and_what_was_on_the_disk(ward: Ward) -> None:
    await ward.inflict("wiped")
    await ward.inflict("disk_full")
    ward.lab.cloud.order(Call.REINSTALL, ward.server_id, {"os": ward.lab.rack.templates[0].os})
    await ward.lab.cloud.settle()
    await until_seen(ward.host)
    await until(ward.faults, [], within_s=60)


async def until(ask: Callable[[], Awaitable[object]], wanted: object, *, within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while (found := await ask()) != wanted:
        assert time.monotonic() < deadline_s, f"still {found!r}"
        await asyncio.sleep(0.1)


async def says_after(ear: socket.socket, moment_ns: int, *, within_s: float) -> bool:
    """Whether a datagram comes that was made after that moment, by the clock that the host shares with this machine."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within_s):
            while int(await loop.sock_recv(ear, 64)) <= moment_ns:
                pass
    except TimeoutError:
        return False
    return True


async def lost_of(ward: Ward, count: int) -> int:
    """How many of `count` connections to a port where nobody listens are not refused at the first try.

    Told by the kernel's own count of what it had to send again, so that it does not matter how late we look.
    """
    lost = 0
    with ExitStack() as stack:
        open_ = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in open_:
            one.setblocking(False)
            one.connect_ex((ward.host.address, 23))
        while open_:
            await asyncio.sleep(0.05)
            known = [one for one in open_ if resent(one) or one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
            lost += sum(resent(one) > 0 for one in known)
            open_ = [one for one in open_ if one not in known]
    return lost


def resent(connection: socket.socket) -> int:
    """`tcpi_total_retrans` of Linux's `struct tcp_info`."""
    return int(struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0])


async def round_trip_s(host: NspawnHost) -> float:
    """The quickest of five that the host's kernel alone answers, so that what else is at work does not count."""

    async def refused_s() -> float:
        began_s = time.monotonic()
        assert await seen(host, port=23, patience_s=5) == "ConnectionRefusedError"
        return time.monotonic() - began_s

    return min([await refused_s() for _ in range(5)])
