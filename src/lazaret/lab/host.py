"""A machine of the lab, real or simulated, as a Protocol: what a provider can do to a server from outside."""

from typing import Protocol

from pydantic import SecretStr


class LabHost(Protocol):
    """One machine of the lab, real or simulated."""

    handle_id: int
    """The provider's id of the server."""
    address: str
    """IPv4 by which it is reached."""
    ssh_port: int
    """22 for real hosts."""

    async def create(self, *, os: str, hostname: str, root_password: SecretStr) -> None:
        """(Re)make the disk: everything on it is gone. The host is off before and after."""
        ...

    async def power_on(self) -> None:
        """Returns when its init runs; not when SSH answers."""
        ...

    async def power_off(self) -> None:
        """Hard, like pulling the plug; idempotent."""
        ...

    async def reboot(self) -> None:
        """Hard reset: off, then on; disk and password stay."""
        ...

    async def set_root_password(self, password: SecretStr) -> None:
        """Works on a running and on a stopped host."""
        ...

    async def flush_firewall(self) -> None:
        """Drop the packet filter rules inside, for IPv4 and IPv6; running host only."""
        ...

    async def destroy(self) -> None:
        """Off, disk and namespace gone; idempotent."""
        ...

    @property
    def is_on(self) -> bool:
        """Whether its init runs."""
        ...
