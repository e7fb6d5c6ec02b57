"""A real Debian host of the lab does what a rented server does: boots, lets root in, keeps and loses what it should.

Needs root on Linux. Every test leaves the host on and reachable.
"""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import asyncssh
import pytest
import pytest_asyncio
from pydantic import SecretStr

from lazaret.kernel.errors import Conflict
from lazaret.lab.commands import run
from lazaret.lab.network import lab_tag
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.nspawn_rack import NspawnRack
from lazaret.lab.rack import InstallsKeys, Rack
from lazaret.lab.requirements import missing_requirements
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13
from lazaret.lab.wire import Wire

MISSING = missing_requirements()
pytestmark = [
    pytest.mark.real_host,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(900),
]

NAME = f"t{os.getpid()}"
PASSWORD = SecretStr("first <pass> & \"word\" '1'")
T = TypeVar("T")
HOSTNAME = "jaqp.l.time4vps.cloud"
BOOT_S = 10
"""From power-on to a login, on a machine that does nothing else."""
RUNNING = "timeout 120 systemctl is-system-running --wait"

# A root file system of nothing but busybox; its web server answers with one line.
WEB_IMAGE = """\
set -eu
rm -rf /tmp/image && mkdir -p /tmp/image/bin /tmp/image/www
cp /bin/busybox /tmp/image/bin/busybox
echo "hello from a container" > /tmp/image/www/index.html
tar -C /tmp/image -c . | docker import - lab/web:1
docker run -d --name web --restart unless-stopped -p 8080:80 lab/web:1 /bin/busybox httpd -f -p 80 -h /www
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NspawnRack]:
    directory = tmp_path_factory.mktemp("lab") / "hosts"
    rack = NspawnRack(name=NAME, directory=directory)
    try:
        await rack.up()
        yield rack
    finally:
        await rack.down()
    assert traces(NAME, directory) == []
    assert not directory.exists()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(rack: NspawnRack) -> NspawnHost:
    host = await rack.new_host(900001)
    await host.create(os=DEBIAN_13.os, hostname=HOSTNAME, root_password=PASSWORD)
    await host.power_on()
    return host


async def test_the_rack_and_the_host_are_what_the_cloud_expects(rack: NspawnRack, host: NspawnHost) -> None:
    as_rack: Rack = rack
    assert [template.os for template in as_rack.templates] == [DEBIAN_13.os, DEBIAN_12.os]
    assert isinstance(host, InstallsKeys)


async def test_a_fresh_host_lets_root_in_by_password_within_seconds(host: NspawnHost) -> None:
    await host.power_off()
    await host.create(os=DEBIAN_13.os, hostname=HOSTNAME, root_password=PASSWORD)
    slow = await slowness()
    began_s = time.monotonic()
    await host.power_on()
    async with await login(host, PASSWORD) as connection:
        took_s = time.monotonic() - began_s
        assert took_s < BOOT_S * min(max(slow, await slowness()), 6)
        assert await output(connection, "hostname") == HOSTNAME
        assert await output(connection, ". /etc/os-release && echo $VERSION_CODENAME") == "trixie"
        assert await output(connection, RUNNING, timeout_s=150) == "running"
        policy = await output(connection, "sshd -T | grep -E '^(passwordauthentication|permitrootlogin) ' | sort")
        assert policy.split() == ["passwordauthentication", "yes", "permitrootlogin", "yes"]
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(host, SecretStr("wrong"))


async def test_a_reboot_keeps_the_disk_and_the_host_key(host: NspawnHost) -> None:
    before = await identity(host, PASSWORD)
    async with await login(host, PASSWORD) as connection:
        await output(connection, "echo precious > /root/file && iptables --version || true")
    await host.reboot()
    after = await identity(host, PASSWORD)
    assert (after.host_key, after.machine_id) == (before.host_key, before.machine_id)
    assert after.boot_id != before.boot_id
    async with await login(host, PASSWORD) as connection:
        assert await output(connection, "cat /root/file") == "precious"


async def test_a_host_that_reboots_itself_comes_back(host: NspawnHost) -> None:
    before = await identity(host, PASSWORD)
    async with await login(host, PASSWORD) as connection:
        await connection.run("systemctl reboot")
    after = await eventually(lambda: identity(host, PASSWORD), lambda found: found.boot_id != before.boot_id)
    assert after.host_key == before.host_key
    assert host.is_on


async def test_a_new_disk_has_another_identity_and_nothing_on_it(host: NspawnHost) -> None:
    before = await identity(host, PASSWORD)
    async with await login(host, PASSWORD) as connection:
        await output(connection, "echo precious > /root/file")
    await host.create(os=DEBIAN_13.os, hostname=HOSTNAME, root_password=SecretStr("second"))
    assert not host.is_on
    await host.power_on()
    after = await identity(host, SecretStr("second"))
    assert after.host_key != before.host_key
    assert after.machine_id != before.machine_id
    async with await login(host, SecretStr("second")) as connection:
        assert await output(connection, "ls /root/file || echo gone") == "gone"
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(host, PASSWORD)
    await host.set_root_password(PASSWORD)


async def test_a_password_can_be_set_on_a_running_and_on_a_stopped_host(host: NspawnHost) -> None:
    await host.set_root_password(SecretStr("while running"))
    async with await login(host, SecretStr("while running")):
        pass
    await host.power_off()
    await host.set_root_password(PASSWORD)
    await host.power_on()
    async with await login(host, PASSWORD):
        pass
    with pytest.raises(asyncssh.PermissionDenied):
        await connect(host, SecretStr("while running"))


async def test_a_key_can_be_put_on_the_disk(host: NspawnHost) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    await host.install_root_key(key.export_public_key().decode())
    async with asyncssh.connect(
        host.address, username="root", client_keys=[key], known_hosts=None, config=None, agent_path=None
    ) as connection:
        assert await output(connection, "id -un") == "root"


async def test_power_off_silences_the_host(host: NspawnHost) -> None:
    await host.power_off()
    assert not host.is_on
    with pytest.raises(TimeoutError):  # neither refused nor unreachable: nobody answers
        await asyncio.wait_for(asyncio.open_connection(host.address, 22), 1.5)
    await host.power_off()
    with pytest.raises(Conflict):
        await host.flush_firewall()
    await host.power_on()
    async with await login(host, PASSWORD):
        pass


async def test_a_host_that_powers_itself_off_falls_silent(host: NspawnHost) -> None:
    async with await login(host, PASSWORD) as connection:
        await connection.run("systemctl poweroff")

    async def is_on() -> bool:
        return host.is_on

    assert await eventually(is_on, lambda on: not on) is False
    await eventually(lambda: answers(host), lambda found: found == "silence")
    await host.power_on()
    async with await login(host, PASSWORD):
        pass


async def test_a_cut_wire_is_silence_and_the_host_runs_on(host: NspawnHost) -> None:
    before = await identity(host, PASSWORD)
    await host.set_wire(Wire(cut="both"))
    assert await answers(host) == "silence"
    assert host.is_on
    await host.set_wire(Wire())
    assert (await identity(host, PASSWORD)).boot_id == before.boot_id


async def test_docker_firewall_and_fail2ban_work_and_survive_a_reboot(host: NspawnHost) -> None:
    packages = "docker.io docker-cli iptables busybox-static ufw fail2ban python3-systemd"
    install = f"apt-get install -y --no-install-recommends {packages}"
    async with await login(host, PASSWORD) as connection:
        await output(connection, f"export DEBIAN_FRONTEND=noninteractive; apt-get update && {install}", timeout_s=600)
        await output(connection, WEB_IMAGE, timeout_s=120)
        assert await output(connection, "docker info --format '{{.Driver}}'") == "overlay2"
        await output(connection, "ufw allow 22/tcp && ufw --force enable")
        assert await output(connection, "systemctl is-active docker fail2ban") == "active\nactive"
    page = await eventually(lambda: page_of(host, 8080), lambda text: "hello" in text)
    assert page.endswith("hello from a container\n")

    await host.reboot()
    page = await eventually(lambda: page_of(host, 8080), lambda text: "hello" in text)
    assert page.endswith("hello from a container\n")
    async with await login(host, PASSWORD) as connection:
        assert await output(connection, RUNNING, timeout_s=150) == "running"
        assert "Status: active" in await output(connection, "ufw status")
        assert await output(connection, "systemctl is-active docker fail2ban ufw") == "active\nactive\nactive"


async def test_the_provider_can_open_a_firewall_that_locks_everybody_out(host: NspawnHost) -> None:
    """Rests on the packages that the test before installed."""
    await host.run_inside("sh", "-c", "iptables -P INPUT DROP; ufw --force delete allow 22/tcp; iptables -F INPUT")
    assert await answers(host) == "silence"
    await host.flush_firewall()
    assert await answers(host) == "SSH"
    page = await eventually(lambda: page_of(host, 8080), lambda text: "hello" in text)
    assert "hello from a container" in page


async def test_two_hosts_do_not_see_each_others_processes(rack: NspawnRack, host: NspawnHost) -> None:
    other = await rack.new_host(900002)
    await other.create(os=DEBIAN_12.os, hostname="other.l.time4vps.cloud", root_password=PASSWORD)
    await other.power_on()
    async with await login(other, PASSWORD) as connection:
        assert await output(connection, ". /etc/os-release && echo $VERSION_CODENAME") == "bookworm"
        assert await output(connection, RUNNING, timeout_s=150) == "running"
        async with await login(host, PASSWORD) as first:
            await output(first, "systemctl restart ssh && systemctl is-active ssh")
        assert (await identity(other, PASSWORD)).machine_id != (await identity(host, PASSWORD)).machine_id
        await output(connection, "systemctl is-active ssh")
    await rack.remove_host(other)
    await other.destroy()
    assert await answers(host) == "SSH"


async def test_a_later_process_finds_a_running_host_again(rack: NspawnRack, host: NspawnHost) -> None:
    before = await identity(host, PASSWORD)
    adopted = await rack.adopt_host(host.handle_id)
    assert adopted is not None
    assert (adopted.address, adopted.is_on) == (host.address, True)
    assert (await identity(adopted, PASSWORD)).boot_id == before.boot_id
    assert await rack.adopt_host(900099) is None


async def test_a_lab_that_was_killed_is_ended_from_its_files(tmp_path: Path) -> None:
    left = NspawnRack(name=f"{NAME}x", directory=tmp_path / "hosts")
    try:
        await left.up()
        host = await left.new_host(900001)
        await host.create(os=DEBIAN_13.os, hostname=HOSTNAME, root_password=PASSWORD)
        await host.power_on()
        async with await login(host, PASSWORD):
            pass
        assert traces(f"{NAME}x", tmp_path / "hosts")
    finally:
        await NspawnRack(name=f"{NAME}x", directory=tmp_path / "hosts").down()
    assert traces(f"{NAME}x", tmp_path / "hosts") == []
    assert not host.is_on
    assert not (tmp_path / "hosts").exists()


class Identity:
    """By what a server is known."""

    def __init__(self, host_key: str, machine_id: str, boot_id: str) -> None:
        self.host_key = host_key
        self.machine_id = machine_id
        self.boot_id = boot_id


async def identity(host: NspawnHost, password: SecretStr) -> Identity:
    connection = await login(host, password)
    key = connection.get_server_host_key()
    assert key is not None
    ids = await output(connection, "cat /etc/machine-id /proc/sys/kernel/random/boot_id")
    connection.close()
    machine_id, boot_id = ids.split()
    return Identity(key.get_fingerprint(), machine_id, boot_id)


async def connect(host: NspawnHost, password: SecretStr) -> asyncssh.SSHClientConnection:
    return await asyncssh.connect(
        host.address,
        host.ssh_port,
        username="root",
        password=password.get_secret_value(),
        known_hosts=None,
        client_keys=[],
        config=None,
        agent_path=None,
        connect_timeout=5,
        login_timeout=20,
    )


async def slowness() -> float:
    """How many times slower this machine is at the moment, its neighbours' doing included; at least 1.

    A thousand processes, which is what a boot is made of, too, take a second on two idle cores.
    """
    began_s = time.monotonic()
    await run("sh", "-c", "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i + 1)); done", timeout_s=120)
    return max(1.0, time.monotonic() - began_s)


async def login(host: NspawnHost, password: SecretStr, *, within_s: float = 120) -> asyncssh.SSHClientConnection:
    """Try until sshd answers; a refused password is final."""
    deadline_s = time.monotonic() + within_s
    while True:
        try:
            return await connect(host, password)
        except asyncssh.PermissionDenied as refused:
            # pam_nologin refuses everybody until the boot is over
            if time.monotonic() > deadline_s or "refused" in str(refused):
                raise
        except (OSError, TimeoutError, asyncssh.Error):
            if time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(0.05)


async def output(connection: asyncssh.SSHClientConnection, command: str, *, timeout_s: float = 60) -> str:
    done = await connection.run(command, timeout=timeout_s)
    assert done.exit_status == 0, (command, done.stdout, done.stderr)
    assert isinstance(done.stdout, str)
    return done.stdout.strip()


async def answers(host: NspawnHost) -> str:
    """What somebody outside sees on port 22."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host.address, 22), 1.5)
    except TimeoutError:
        return "silence"
    except OSError as error:
        return type(error).__name__
    try:
        return (await asyncio.wait_for(reader.read(3), 30)).decode()
    finally:
        writer.close()


async def page_of(host: NspawnHost, port: int) -> str:
    """A page as seen from outside the host; empty when there is none."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host.address, port), 2)
    except (OSError, TimeoutError):
        return ""
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    try:
        return (await asyncio.wait_for(reader.read(), 10)).decode()
    except (OSError, TimeoutError):  # the container is just being started
        return ""
    finally:
        writer.close()


async def eventually(ask: Callable[[], Awaitable[T]], is_right: Callable[[T], bool], *, within_s: float = 120) -> T:
    deadline_s = time.monotonic() + within_s
    while not is_right(found := await ask()):
        assert time.monotonic() < deadline_s, f"still {found!r} after {within_s} s"
        await asyncio.sleep(0.2)
    return found


def traces(name: str, directory: Path) -> list[str]:
    """Whatever the machine still holds of a lab, files apart."""
    tag = lab_tag(name, directory)
    loops = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], capture_output=True, check=True
    )
    found = [line for line in loops.stdout.decode().splitlines() if line.startswith(str(directory))]
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    found += [link["ifname"] for link in links if tag in link["ifname"]]
    found += [path.name for path in Path("/run/netns").glob(f"*{tag}*")]
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    found += [line for line in mounts if tag in line or str(directory) in line]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/lazaret-lab/{tag}")]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if tag in command or str(directory) in command:
            found.append(command)
    return found
