"""Where the lab's hosts stand: the Protocol that real and simulated hosts fulfil, for the cloud to order from."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lazaret.lab.host import LabHost
from lazaret.servers.provider import OsTemplate


class Rack(Protocol):
    """Makes hosts and takes them away. One rack belongs to one lab."""

    @property
    def simulated(self) -> bool:
        """Whether the hosts are only pretended."""
        ...

    @property
    def ssh_port(self) -> int:
        """Of every host of the rack."""
        ...

    @property
    def hosts_at_once(self) -> int:
        """How many hosts may be made at the same time."""
        ...

    @property
    def templates(self) -> Sequence[OsTemplate]:
        """What can be installed; the first is the default."""
        ...

    async def up(self) -> None:
        """Prepare what all hosts share: network, templates, package cache."""
        ...

    async def new_host(self, server_id: int) -> LabHost:
        """A place for a host, with its address. It has no disk and is off."""
        ...

    async def adopt_host(self, server_id: int) -> LabHost | None:
        """The host that an earlier process of this lab left behind, with its disk; None when nothing is left."""
        ...

    async def remove_host(self, host: LabHost) -> None:
        """Destroy the host and free its address."""
        ...

    async def down(self) -> None:
        """Take away what `up` made. The hosts are gone before."""
        ...


@runtime_checkable
class InstallsKeys(Protocol):
    """A host on whose fresh disk the provider can put an SSH key."""

    async def install_root_key(self, public_key: str) -> None:
        """Let this key log in as root; after `create`, before `power_on`."""
        ...
