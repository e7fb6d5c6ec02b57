"""A real host: Debian in a directory, booted with its own systemd by systemd-nspawn.

Owns its disk and its processes, found again by a record on disk. Whoever is root on such a host could be root on this
machine: it plays a server, it is no wall.
"""

import asyncio
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, SecretStr

from lazaret.kernel.errors import Conflict, Unavailable
from lazaret.lab.commands import run
from lazaret.lab.host_cgroup import HostCgroup
from lazaret.lab.network import HostLink, LabNetwork
from lazaret.lab.package_cache import PackageCache
from lazaret.lab.processes import ProcessIdentity, identify, is_alive
from lazaret.lab.store import write_private
from lazaret.lab.template import Templates, copy_tree, remove_tree, suite_of

SSH_PORT = 22
_BOOT_WAIT_S = 20.0
_DEATH_WAIT_S = 10.0
_POLL_S = 0.02

# The first lets Docker turn on forwarding in /proc/sys, the others give it cgroups that it can write.
_BOOT_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
    "UNIFIED_CGROUP_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
}

# What is on a fresh disk and on no other. Root directory, host name, machine id as arguments; apt's sources on stdin.
_PERSONALISE = """\
set -eu
cat > "$1/etc/apt/sources.list.d/debian.sources"
echo "$2" > "$1/etc/hostname"
printf '127.0.0.1 localhost\\n127.0.1.1 %s %s\\n' "$2" "${2%%.*}" > "$1/etc/hosts"
echo "$3" > "$1/etc/machine-id"
exec chroot "$1" ssh-keygen -q -A
"""

_INSTALL_KEY = "umask 077; mkdir -p /root/.ssh; cat >> /root/.ssh/authorized_keys"

# Whatever filters is opened; address translation stays, for Docker's ports need it.
_FLUSH_FIREWALL = """\
for tables in iptables ip6tables; do
    command -v $tables > /dev/null || continue
    for chain in INPUT FORWARD OUTPUT; do $tables -w -P $chain ACCEPT; done
    $tables -w -F
done
command -v nft > /dev/null || exit 0
nft list tables | while read -r _ family table; do
    case $table in filter|nat|mangle|raw|security) ;; *) nft delete table $family $table ;; esac
done
"""


def boot_command(*, root: Path, machine: str, link: HostLink, cgroup: Path) -> list[str]:
    """A shell that moves into the host's own cgroup, then becomes systemd-nspawn. Two hosts in one cgroup would
    take each other's processes for their own."""
    return [
        *("sh", "-c", 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"', "sh", str(cgroup)),
        *("systemd-nspawn", "--directory", str(root), "--boot", f"--machine={machine}", "--console=read-only"),
        *("--register=no", "--keep-unit", f"--network-namespace-path={link.namespace_path}"),
        *("--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE", "--system-call-filter=@known"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
    ]


class HostRecord(BaseModel):
    """What a later process of the lab must know of a host."""

    handle_id: int
    number: int
    """The last number of its address."""
    process: ProcessIdentity | None = None
    """systemd-nspawn; None while the host is off."""


class NspawnHost:
    """A `LabHost` that is a real Debian. `directory` is all its own."""

    ssh_port = SSH_PORT

    def __init__(
        self,
        record: HostRecord,
        *,
        directory: Path,
        tag: str,
        network: LabNetwork,
        packages: PackageCache,
        templates: Templates,
    ) -> None:
        self.handle_id = record.handle_id
        self._record = record
        self._directory = directory
        self._disk = directory / "disk"
        self._network = network
        self._packages = packages
        self._templates = templates
        self._link = network.link(record.number)
        self._machine = f"lazaret-{tag}-{record.number}"
        self._cgroup = HostCgroup(tag, record.number)
        self._unwatch: Callable[[], None] = lambda: None
        self._child: subprocess.Popen[bytes] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.address = self._link.address

    @property
    def is_on(self) -> bool:
        """Whether its init runs."""
        return self._record.process is not None and is_alive(self._record.process)

    @property
    def has_disk(self) -> bool:
        """Whether it was ever created."""
        return self._disk.is_dir()

    async def create(self, *, os: str, hostname: str, root_password: SecretStr) -> None:
        """(Re)make the disk from the template `os`, with host keys and a machine id of its own. Off afterwards."""
        suite = suite_of(os)
        template = await self._templates.get(suite, f"{self._packages.url}/debian")
        await self.power_off()
        await remove_tree(self._disk)
        unfinished = self._directory / "disk.unfinished"
        await remove_tree(unfinished)
        await copy_tree(template, unfinished)
        sources = self._packages.guest_sources(suite)
        await run(*("sh", "-c", _PERSONALISE, "sh", str(unfinished), hostname, uuid.uuid4().hex), stdin=sources)
        await _set_root_password(unfinished, root_password)
        unfinished.rename(self._disk)

    async def power_on(self) -> None:
        """Boot; returns when its init runs. Nothing happens when it is on. Raises `Conflict` without a disk."""
        if self.is_on:
            return
        if not self.has_disk:
            raise Conflict("The host has no disk; create it first.")
        await self._cgroup.end()
        self._cgroup.make()
        await self._network.plug_in(self._link)
        self._start()
        await self._wait_for_init()
        self.pull_cable_at_exit()

    async def power_off(self) -> None:
        """Kill its init, and with it everything inside, like pulling the plug. Idempotent."""
        self._unwatch()
        init = self._init_pid()
        if init is not None:
            with suppress(ProcessLookupError):
                os.kill(init, signal.SIGKILL)
            await self._wait_for_nspawn()
        await self._cgroup.end()
        await self._network.pull_out(self._link)
        if self._record.process is not None:
            self._remember(None)

    async def reboot(self) -> None:
        """Hard reset: off, then on; disk and password stay."""
        await self.power_off()
        await self.power_on()

    async def set_root_password(self, password: SecretStr) -> None:
        """Works on a running and on a stopped host: the disk is the same."""
        await _set_root_password(self._disk, password)

    async def install_root_key(self, public_key: str) -> None:
        """Let this key log in as root."""
        await run("chroot", str(self._disk), "sh", "-c", _INSTALL_KEY, stdin=f"{public_key.strip()}\n")

    async def flush_firewall(self) -> None:
        """Drop the packet filter rules inside, for IPv4 and IPv6; address translation stays. Running host only."""
        await self.run_inside("sh", "-c", _FLUSH_FIREWALL)

    async def cut_link(self) -> None:
        """Network loss: the host runs on, unreachable."""
        await self._network.cut(self._link)

    async def restore_link(self) -> None:
        """End of `cut_link`."""
        await self._network.restore(self._link)

    async def run_inside(self, *command: str, timeout_s: float = 30) -> str:
        """Output of a command run as root on the running host, without SSH. Raises `CommandFailed`, `Conflict`."""
        init = self._init_pid()
        if init is None:
            raise Conflict("The host is off.")
        inside = ("nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
        return await run(*inside, "--", *command, timeout_s=timeout_s)

    async def destroy(self) -> None:
        """Off, disk and namespace gone. Idempotent."""
        await self.power_off()
        await self._network.remove(self.handle_id)
        await remove_tree(self._directory)

    def _start(self) -> None:
        """Of its own session, so that it outlives the terminal and this process."""
        command = boot_command(root=self._disk, machine=self._machine, link=self._link, cgroup=self._cgroup.path)
        with (self._directory / "console.log").open("wb") as console:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={**os.environ, **_BOOT_ENVIRONMENT},
            )
        self._remember(identify(self._child.pid))

    async def _wait_for_init(self) -> None:
        deadline_s = time.monotonic() + _BOOT_WAIT_S
        while time.monotonic() < deadline_s:
            if self._init_pid() is not None:
                return
            if not self.is_on:
                break
            await asyncio.sleep(_POLL_S)
        console = self._directory / "console.log"
        said = console.read_text(encoding="utf-8", errors="replace").strip()[-300:]
        await self.power_off()
        raise Unavailable(f"Host {self.handle_id} does not boot: {said}")

    async def _wait_for_nspawn(self) -> None:
        """It clears up after its host and ends; if it does not, the end of its cgroup takes it along."""
        for _ in range(int(_DEATH_WAIT_S / _POLL_S)):
            if not self.is_on:
                return
            await asyncio.sleep(_POLL_S)

    def _init_pid(self) -> int | None:
        """The host's own init: the child of systemd-nspawn that has become systemd."""
        process = self._record.process
        if process is None or not is_alive(process):
            return None
        with suppress(OSError):
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
            for child in map(int, children.split()):
                if Path(f"/proc/{child}/exe").readlink().name == "systemd":
                    return child
        return None

    def pull_cable_at_exit(self) -> None:
        """A host that powers itself off falls silent, too; else its namespace would go on answering "refused"."""
        process = self._record.process
        if process is None or not is_alive(process):
            return
        loop = asyncio.get_running_loop()
        handle = os.pidfd_open(process.pid)

        def unwatch() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            self._unwatch = lambda: None

        def gone() -> None:
            unwatch()
            if self._child is not None:
                self._child.poll()
            self._leaving = loop.create_task(self._network.pull_out(self._link))

        loop.add_reader(handle, gone)
        self._unwatch = unwatch

    def _remember(self, process: ProcessIdentity | None) -> None:
        self._record.process = process
        write_private(self._directory / "host.json", self._record.model_dump_json())


async def _set_root_password(disk: Path, password: SecretStr) -> None:
    """By the host's own program; the password goes through a pipe."""
    await run("chroot", str(disk), "chpasswd", stdin=f"root:{password.get_secret_value()}\n")
