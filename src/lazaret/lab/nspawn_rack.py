"""The rack of real hosts: network, package cache and templates around them, and how a restarted lab finds them."""

from pathlib import Path

from pydantic import ValidationError

from lazaret.kernel.errors import Misconfigured
from lazaret.lab.host import LabHost
from lazaret.lab.host_cgroup import end_all_hosts
from lazaret.lab.network import LabNetwork, lab_tag
from lazaret.lab.nspawn import SSH_PORT, HostRecord, NspawnHost
from lazaret.lab.package_cache import PackageCache
from lazaret.lab.requirements import missing_requirements
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13
from lazaret.lab.template import Templates, default_cache_directory, remove_tree, suite_of


class NspawnRack:
    """A `Rack` of real Debian hosts. `directory` is the lab's; `cache` is shared by all labs of the machine."""

    simulated = False
    ssh_port = SSH_PORT
    templates = (DEBIAN_13, DEBIAN_12)

    def __init__(self, *, name: str, directory: Path, cache: Path | None = None) -> None:
        shared = cache or default_cache_directory()
        self._directory = directory
        self._tag = lab_tag(name, directory)
        self.network = LabNetwork(self._tag)
        self.packages = PackageCache(run_directory=directory / "packages", packages=shared / "packages")
        self._disks = Templates(shared / "templates")

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
            await left.destroy()
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
            await host.destroy()
            return None
        host.pull_cable_at_exit()
        return host

    async def remove_host(self, host: LabHost) -> None:
        """Destroy the host and free its address."""
        await host.destroy()

    async def down(self) -> None:
        """End all hosts, the network and the package cache, also those of an earlier process. Idempotent."""
        await end_all_hosts(self._tag)
        await self.network.down()
        await self.packages.down()
        await remove_tree(self._directory)

    def _host(self, record: HostRecord) -> NspawnHost:
        return NspawnHost(
            record,
            directory=self._host_directory(record.handle_id),
            tag=self._tag,
            network=self.network,
            packages=self.packages,
            templates=self._disks,
        )

    def _host_directory(self, server_id: int) -> Path:
        return self._directory / str(server_id)


def _read(path: Path) -> HostRecord | None:
    try:
        return HostRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
