"""A rack of hosts that only remember what was done to them."""

from collections.abc import Sequence

import pytest
from pydantic import SecretStr

from lazaret.kernel.clock import ManualClock
from lazaret.lab.cloud import Cloud
from lazaret.lab.host import LabHost
from lazaret.lab.journal import Journal
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13
from lazaret.lab.store import ServerStore
from lazaret.lab.switches import Switchboard
from lazaret.lab.tasks import Pace
from lazaret.servers.provider import OsTemplate


class FakeHost:
    """A host without a network: state and a list of what was done."""

    ssh_port = 22

    def __init__(self, handle_id: int) -> None:
        self.handle_id = handle_id
        self.address = f"192.0.2.{handle_id % 250}"
        self.done: list[str] = []
        self.password = ""
        self.os = ""
        self.installed_keys: list[str] = []
        self.broken = False
        self.destroyed = False
        self._is_on = False

    @property
    def is_on(self) -> bool:
        return self._is_on

    async def create(self, *, os: str, hostname: str, root_password: SecretStr) -> None:
        self.done.append("create")
        self.os, self.password = os, root_password.get_secret_value()
        self.installed_keys = []

    async def power_on(self) -> None:
        self.done.append("on")
        self._is_on = True

    async def power_off(self) -> None:
        self.done.append("off")
        self._is_on = False

    async def reboot(self) -> None:
        self.done.append("reboot")
        self._is_on = True

    async def set_root_password(self, password: SecretStr) -> None:
        if self.broken:
            raise OSError("the disk is gone")
        self.done.append("password")
        self.password = password.get_secret_value()

    async def install_root_key(self, public_key: str) -> None:
        self.installed_keys.append(public_key)

    async def flush_firewall(self) -> None:
        self.done.append("flush")

    async def destroy(self) -> None:
        self.destroyed = True
        self._is_on = False


class FakeRack:
    """Keeps its hosts, so that a second cloud can adopt them."""

    simulated = True
    ssh_port = 22
    hosts_at_once = 4
    templates: Sequence[OsTemplate] = (DEBIAN_13, DEBIAN_12)

    def __init__(self) -> None:
        self.hosts: dict[int, FakeHost] = {}

    async def up(self) -> None:
        pass

    async def new_host(self, server_id: int) -> FakeHost:
        return self.hosts.setdefault(server_id, FakeHost(server_id))

    async def adopt_host(self, server_id: int) -> LabHost | None:
        return self.hosts.get(server_id)

    async def remove_host(self, host: LabHost) -> None:
        await host.destroy()
        self.hosts.pop(host.handle_id, None)

    async def down(self) -> None:
        pass


class Account:
    """A cloud with its parts at hand."""

    def __init__(self, *, store: ServerStore | None = None, rack: FakeRack | None = None) -> None:
        self.clock = ManualClock()
        self.rack = rack or FakeRack()
        self.switches = Switchboard(self.clock)
        self.journal = Journal(self.clock)
        self.cloud = Cloud(
            rack=self.rack,
            clock=self.clock,
            pace=Pace(1.0),
            switches=self.switches,
            journal=self.journal,
            store=store,
        )


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def make_account() -> type[Account]:
    return Account
