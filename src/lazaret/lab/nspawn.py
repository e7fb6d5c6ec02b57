"""A real host: Debian on a disk image, booted with its own systemd by systemd-nspawn.

Owns its life: on, off, and what follows when it ends by itself. A record on disk lets a later process find it.
Whoever is root on such a host could be root on this machine: it plays a server, it is no wall.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from lazaret.kernel.errors import Conflict, Unavailable
from lazaret.lab.commands import run
from lazaret.lab.disk import HostDisk
from lazaret.lab.flush_firewall import FLUSH_FIREWALL
from lazaret.lab.host_cgroup import HostCgroup
from lazaret.lab.host_record import HostRecord
from lazaret.lab.network import LabNetwork
from lazaret.lab.nspawn_boot import BOOT_ENVIRONMENT, boot_command
from lazaret.lab.package_cache import PackageCache
from lazaret.lab.playing import Play
from lazaret.lab.processes import ProcessIdentity, identify, is_alive
from lazaret.lab.real_faults import PLAYS
from lazaret.lab.store import write_private
from lazaret.lab.tasks import new_password
from lazaret.lab.template import Templates, remove_tree, suite_of
from lazaret.lab.wire import Wire, lay

SSH_PORT = 22
_BOOT_WAIT_S = 90.0
_POLL_S = 0.02


class NspawnHost:
    """A `LabHost` that is a real Debian. `directory` is all its own."""

    ssh_port = SSH_PORT
    kind = "real"
    plays: ClassVar[Mapping[str, Play[Any]]] = PLAYS

    def __init__(
        self,
        record: HostRecord,
        *,
        directory: Path,
        tag: str,
        network: LabNetwork,
        packages: PackageCache,
        templates: Templates,
        first_disk: Path | None = None,
    ) -> None:
        self.handle_id = record.handle_id
        self._first_disk = first_disk
        self._record = record
        self._directory = directory
        self._disk = HostDisk(directory)
        self._console = directory / "console.log"
        self._network = network
        self._packages = packages
        self._templates = templates
        self._link = network.link(record.number)
        self._machine = f"lazaret-{tag}-{record.number}"
        self._cgroup = HostCgroup(tag, record.number)
        self._unwatch: Callable[[], None] = lambda: None
        self._child: subprocess.Popen[bytes] | None = None
        self._power = asyncio.Lock()
        self._follow_up: asyncio.Task[None] | None = None
        self.address = self._link.address

    @property
    def is_on(self) -> bool:
        """Whether its init runs."""
        return self._record.process is not None and is_alive(self._record.process)

    @property
    def has_disk(self) -> bool:
        """Whether it was ever created."""
        return self._disk.exists

    @property
    def is_frozen(self) -> bool:
        """Whether it hangs."""
        return self._cgroup.is_frozen

    @property
    def is_wiped(self) -> bool:
        """Whether the disk of `wipe` is in place of its own."""
        return self._disk.has_kept

    @property
    def wire(self) -> Wire:
        """What is wrong with its cable."""
        return self._record.wire

    async def create(self, *, os: str, hostname: str, root_password: SecretStr) -> None:
        """(Re)make the disk from the template `os`, with host keys and a machine id of its own. Off afterwards."""
        self._record.os, self._record.hostname = os, hostname
        template = self._first_disk or await self._template()
        self._first_disk = None
        async with self._power:
            await self._off()
            await self._disk.remove()
            await self._make_disk(template, root_password)

    async def save_disk(self, path: Path) -> None:
        """Off, and a copy of the disk as it is now, for the `first_disk` of a rack."""
        async with self._power:
            await self._off()
            await self._disk.save_as_template(path)

    async def wipe(self) -> None:
        """Boot a fresh system of the same kind, name and root password; the old disk is kept aside."""
        template = await self._template()
        async with self._power:
            await self._off()
            password = await self._disk.root_password_hash()
            await self._disk.keep_aside()
            try:
                await self._make_disk(template, new_password())
                await self._disk.set_root_password_hash(password)
            except BaseException:
                await self._disk.put_back()
                raise
            await self._on()

    async def unwipe(self) -> None:
        """Boot the disk that `wipe` kept aside. Nothing happens when there is none."""
        async with self._power:
            if self._disk.has_kept:
                await self._off()
                await self._disk.put_back()
                await self._on()

    async def power_on(self) -> None:
        """Boot; returns when its init runs. Nothing happens when it is on. Raises `Conflict` without a disk."""
        async with self._power:
            await self._on()

    async def power_off(self) -> None:
        """Kill its init and everything else inside, like pulling the plug. Idempotent."""
        async with self._power:
            await self._off()

    async def reboot(self) -> None:
        """Hard reset: off, then on; disk and password stay."""
        async with self._power:
            await self._off()
            await self._on()

    async def set_root_password(self, password: SecretStr) -> None:
        """Works on a running and on a stopped host."""
        await self._disk.set_root_password(password)

    async def install_root_key(self, public_key: str) -> None:
        """Let this key log in as root."""
        await self._disk.install_root_key(public_key)

    async def flush_firewall(self) -> None:
        """Drop the packet filter rules inside, for IPv4 and IPv6; address translation stays. Running host only."""
        await self.run_inside("sh", "-c", FLUSH_FIREWALL)

    async def set_wire(self, wire: Wire) -> None:
        """Let its cable be like that, from now on. Raises `Conflict` when this machine cannot play it."""
        async with self._power:
            if self.is_on:
                await lay(self._link.interface, wire)
            self._record.wire = wire
            self._remember(self._record.process)

    def freeze(self) -> None:
        """The machine hangs: nothing on it runs, its kernel still takes connections. Ends with the next power-off."""
        self._cgroup.freeze()

    def thaw(self) -> None:
        """End of `freeze`."""
        self._cgroup.thaw()

    async def run_inside(self, *command: str, stdin: str = "", timeout_s: float = 30) -> str:
        """Output of a command run as root on the running host, without SSH. Raises `CommandFailed`, `Conflict`."""
        init = self._init_pid()
        if init is None:
            raise Conflict("The host is off.", hint="Power it on first.")
        inside = ("nsenter", "--target", str(init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
        return await run(*inside, "--", *command, stdin=stdin, timeout_s=timeout_s)

    async def destroy(self) -> None:
        """Off, disk and namespace gone. Idempotent."""
        async with self._power:
            await self._off()
            await self._network.remove(self.handle_id)
            await self._disk.remove()
            await remove_tree(self._directory)

    async def _template(self) -> Path:
        return await self._templates.get(suite_of(self._record.os), f"{self._packages.url}/debian")

    async def _make_disk(self, template: Path, root_password: SecretStr) -> None:
        sources = self._packages.guest_sources(suite_of(self._record.os))
        await self._disk.make(template, hostname=self._record.hostname, sources=sources, root_password=root_password)
        self._remember(None)

    async def _on(self) -> None:
        if self.is_on:
            return
        await self._disk.attach()
        await self._cgroup.end()
        self._cgroup.make()
        await self._network.plug_in(self._link)
        if not self.wire.is_well:
            await lay(self._link.interface, self.wire)
        self._start()
        await self._wait_for_init()
        self.watch_exit()

    async def _off(self) -> None:
        self._unwatch()
        await self._cgroup.end()
        await self._network.pull_out(self._link)
        if self._child is not None:
            self._child.poll()  # takes its remains away
        if self._record.process is not None:
            self._remember(None)

    def _start(self) -> None:
        """Of its own session, so that it outlives the terminal and this process."""
        command = boot_command(root=self._disk.root, machine=self._machine, link=self._link, cgroup=self._cgroup.path)
        with self._console.open("wb") as console:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath), **BOOT_ENVIRONMENT},
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
        said = self._console_tail()
        await self._off()
        raise Unavailable(f"Host {self.handle_id} does not boot: {said}")

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

    def watch_exit(self) -> None:
        """See to it that a host that ends its life by itself is followed up, also one that another process booted."""
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
            self._follow_up = loop.create_task(self._after_exit(process), name=f"exit of {self._machine}")

        loop.add_reader(handle, gone)
        self._unwatch = unwatch

    async def _after_exit(self, process: ProcessIdentity) -> None:
        """A host that powers itself off falls silent: its namespace would go on answering "refused". One that
        reboots itself is booted again: systemd-nspawn leaves that to whoever started it."""
        async with self._power:
            if self._record.process != process:
                return
            reboots = "is being rebooted" in self._console_tail()
            await self._off()
            if reboots:
                await self._on()

    def _console_tail(self) -> str:
        """The last that host and systemd-nspawn said."""
        return self._console.read_text(encoding="utf-8", errors="replace").strip()[-300:]

    def _remember(self, process: ProcessIdentity | None) -> None:
        self._record.process = process
        write_private(self._directory / "host.json", self._record.model_dump_json())
