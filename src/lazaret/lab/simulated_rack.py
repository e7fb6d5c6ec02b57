"""The rack of simulated hosts: which loopback address each gets, and how a restarted lab finds them again."""

import socket
from contextlib import suppress
from pathlib import Path

from lazaret.kernel.clock import Clock
from lazaret.kernel.errors import Conflict, Misconfigured
from lazaret.lab.host import LabHost
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13, UBUNTU_24_04
from lazaret.lab.simulated import SimulatedHost
from lazaret.lab.simulated_commands import DEFAULT_COMMANDS, CommandTable
from lazaret.lab.simulated_network import listening

DEFAULT_SSH_PORT = 2222
_FIRST_NET, _NETS = 16, 200


class SimulatedRack:
    """A `Rack` of simulated hosts on addresses 127.<net>.x.y, all on one port."""

    simulated = True
    hosts_at_once = 250
    templates = (DEBIAN_13, DEBIAN_12, UBUNTU_24_04)

    def __init__(
        self,
        *,
        name: str,
        clock: Clock,
        boot_s: float = 0.05,
        ssh_port: int = DEFAULT_SSH_PORT,
        commands: CommandTable = DEFAULT_COMMANDS,
        directory: Path | None = None,
    ) -> None:
        self._clock = clock
        self._boot_s = boot_s
        self.ssh_port = ssh_port
        self._commands = commands
        self._directory = directory
        self._name = name
        self._net = 0
        self._claim: socket.socket | None = None
        self._taken: set[str] = set()

    async def up(self) -> None:
        """Take a net that no other lab has."""
        if self._directory is not None:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        first = _usual_net(self._name)
        for attempt in range(_NETS):
            self._net = _FIRST_NET + (first + attempt) % _NETS
            with suppress(OSError):
                self._claim = listening(f"127.{self._net}.255.1", self.ssh_port, backlog=1)
                return
        raise Misconfigured(f"Port {self.ssh_port} is taken on all loopback nets tried.")

    async def new_host(self, server_id: int) -> SimulatedHost:
        address = self._address(server_id)
        file = self._directory / f"{server_id}.json" if self._directory is not None else None
        self._taken.add(address)
        return SimulatedHost(
            server_id,
            address,
            self.ssh_port,
            clock=self._clock,
            boot_s=self._boot_s,
            commands=self._commands,
            state_file=file,
        )

    async def adopt_host(self, server_id: int) -> LabHost | None:
        host = await self.new_host(server_id)
        if host.recall():
            return host
        await self.remove_host(host)
        return None

    async def remove_host(self, host: LabHost) -> None:
        await host.destroy()
        self._taken.discard(host.address)

    async def down(self) -> None:
        """Give the net back."""
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _address(self, server_id: int) -> str:
        """From the id, so that a restarted lab finds the same one; x.y.1 to x.y.250 on 250 nets of a net."""
        for offset in range(250 * 250):
            row, column = divmod((server_id - 1 + offset) % (250 * 250), 250)
            address = f"127.{self._net}.{row}.{column + 1}"
            if address not in self._taken:
                return address
        raise Conflict("The lab has no address left.")


def _usual_net(name: str) -> int:
    """Where the search for a net begins: the same for a lab that is started again."""
    return sum(name.encode()) * 31 % _NETS
