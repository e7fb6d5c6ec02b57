"""The rack of real hosts: network, package cache and templates around them, and how a restarted lab finds them."""

import os
import uuid
from pathlib import Path

from pydantic import ValidationError

from lazaret.kernel.errors import Misconfigured
from lazaret.lab.disk import mounted_disks, unmount
from lazaret.lab.host import LabHost
from lazaret.lab.host_cgroup import end_all_hosts
from lazaret.lab.host_record import HostRecord
from lazaret.lab.network import LabNetwork, lab_tag
from lazaret.lab.nspawn import SSH_PORT, NspawnHost
from lazaret.lab.package_cache import PackageCache
from lazaret.lab.requirements import missing_requirements
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13
from lazaret.lab.template import Templates, default_cache_directory, remove_tree, suite_of


class NspawnRack:
    """A `Rack` of real Debian hosts.

    `directory` is the lab's; without one it gets a place of its own, which no later process finds. `cache` holds what
    all labs of the machine share: disk templates and packages. `first_disk` is what a new host boots first, in place of
    the provider's image: what `NspawnHost.save_disk` kept of a host that was set up. A reinstall is from the template.
    """

    simulated = False
    ssh_port = SSH_PORT
    templates = (DEBIAN_13, DEBIAN_12)
    hosts_at_once = max(2, os.cpu_count() or 0)

    def __init__(
        self,
        *,
        name: str,
        directory: Path | None = None,
        cache: Path | None = None,
        first_disk: Path | None = None,
    ) -> None:
        shared = cache or default_cache_directory()
        self._directory = directory or shared / "labs" / f"{name}-{uuid.uuid4().hex[:8]}"
        self._tag = lab_tag(name, self._directory)
        self.network = LabNetwork(self._tag)
        self.packages = PackageCache(run_directory=self._directory / "packages", packages=shared / "packages")
        self._disks = Templates(shared / "templates")
        self._first_disk = first_disk
        self._hosts: dict[int, NspawnHost] = {}

    async def up(self) -> None:
        """Network, package cache, and the default template: most of a minute when it has to be made first."""
        if missing := missing_requirements():
            raise Misconfigured("Real hosts cannot be booted here: " + "; ".join(missing) + ".")
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self.network.up()
        await self.packages.up(self.network.gateway)
        await self._disks.get(suite_of(self.templates[0].os), f"{self.packages.url}/debian")

    async def new_host(self, server_id: int) -> NspawnHost:
        """A place for a host. What an earlier one of this id left, is destroyed."""
        left = await self.adopt_host(server_id)
        if left is not None:
            await self.remove_host(left)
        link = await self.network.add_host(server_id)
        host_directory = self._host_directory(server_id)
        await remove_tree(host_directory)
        host_directory.mkdir(mode=0o700)
        return self._host(HostRecord(handle_id=server_id, number=self.network.number_of(link)))

    async def adopt_host(self, server_id: int) -> NspawnHost | None:
        """The host of an earlier process, running or not; None when it has no disk."""
        record = _read(self._host_directory(server_id) / "host.json")
        if record is None:
            return None
        await self.network.add_host(server_id, record.number)
        host = self._host(record)
        if not host.has_disk:
            await self.remove_host(host)
            return None
        host.watch_exit()
        return host

    async def remove_host(self, host: LabHost) -> None:
        """Destroy the host and free its address."""
        self._hosts.pop(host.handle_id, None)
        await host.destroy()

    async def down(self) -> None:
        """End all hosts, the network and the package cache, also those of an earlier process. Idempotent."""
        for host in self._hosts.values():
            await host.power_off()
        self._hosts.clear()
        await end_all_hosts(self._tag)
        for disk in mounted_disks(self._directory):
            await unmount(disk)
        await self.network.down()
        await self.packages.down()
        await remove_tree(self._directory)

    def _host(self, record: HostRecord) -> NspawnHost:
        host = NspawnHost(
            record,
            directory=self._host_directory(record.handle_id),
            tag=self._tag,
            network=self.network,
            packages=self.packages,
            templates=self._disks,
            first_disk=self._first_disk,
        )
        self._hosts[record.handle_id] = host
        return host

    def _host_directory(self, server_id: int) -> Path:
        return self._directory / str(server_id)


def _read(path: Path) -> HostRecord | None:
    try:
        return HostRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
