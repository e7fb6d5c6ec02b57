"""The lab's own network: one bridge with a /24, and per host a namespace that a veth pair ties to the bridge.

Owns names, addresses and links. Gives no route beyond the bridge, and leaves nothing behind after `down`.
"""

import asyncio
import fcntl
import hashlib
import ipaddress
import json
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from lazaret.kernel.errors import Conflict, Misconfigured
from lazaret.lab.commands import CommandFailed, run

_POOLS = (IPv4Network("10.64.0.0/10"), IPv4Network("198.18.0.0/15"))
_LOCK = Path("/run/lazaret-lab-network.lock")
_NAMESPACES = Path("/run/netns")
_FIRST_HOST, _LAST_HOST = 2, 254
"""The last number of the hosts' addresses; 1 is the bridge."""


def lab_tag(name: str, directory: Path) -> str:
    """Six characters that stand in the names of all that belongs to this lab; the kernel's names hold only 15."""
    return hashlib.sha256(f"{name}\0{directory.absolute()}".encode()).hexdigest()[:6]


def choose_subnet(tag: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """A /24 that overlaps none of `taken`: the same one each time, as long as it is free. Raises `Misconfigured`."""
    in_use = list(taken)
    for pool in _POOLS:
        count = 1 << (24 - pool.prefixlen)
        start = int(tag, 16) % count
        for step in range(count):
            net = IPv4Network((int(pool.network_address) + (((start + step) % count) << 8), 24))
            if not any(net.overlaps(other) for other in in_use):
                return net
    raise Misconfigured("No /24 is free on this machine for the lab's network.")


def choose_number(handle_id: int, taken: Iterable[int]) -> int:
    """The last number of a host's address. Raises `Conflict` when the lab is full."""
    in_use, count = set(taken), _LAST_HOST - _FIRST_HOST + 1
    for step in range(count):
        number = _FIRST_HOST + (handle_id - 1 + step) % count
        if number not in in_use:
            return number
    raise Conflict(f"The lab has no address left for a host; it holds {count} real hosts.")


@dataclass(frozen=True, slots=True)
class HostLink:
    """How one host hangs on the bridge."""

    address: str
    namespace: str
    interface: str
    """The machine's end of the veth pair; the host calls its own `eth0`."""
    mac: str

    @property
    def namespace_path(self) -> Path:
        return _NAMESPACES / self.namespace


class LabNetwork:
    """The network of one lab. `up` first; afterwards `gateway` is known."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.bridge = f"lz{tag}"
        self._numbers: dict[int, int] = {}
        self._subnet: IPv4Network | None = None

    @property
    def subnet(self) -> IPv4Network:
        """The addresses of the lab, the bridge's included."""
        if self._subnet is None:
            raise Conflict("The lab's network is not up.")
        return self._subnet

    @property
    def gateway(self) -> str:
        """The bridge's own address: where the hosts find the package cache."""
        return str(self.subnet.network_address + 1)

    async def up(self) -> None:
        """Make the bridge, or take up the one that an earlier process of this lab left. Idempotent."""
        async with _one_at_a_time():
            self._subnet = await self._existing_subnet()
            if self._subnet is None:
                self._subnet = choose_subnet(self._tag, await _networks_in_use())
                await self._make_bridge()
            await run("ip", "link", "set", self.bridge, "up")

    async def add_host(self, handle_id: int, number: int | None = None) -> HostLink:
        """Reserve an address, the given one if it is known from before. Nothing is made until `plug_in`."""
        if number is None:
            number = choose_number(handle_id, self._numbers.values())
        self._numbers[handle_id] = number
        return self.link(number)

    def link(self, number: int) -> HostLink:
        """The names that belong to an address."""
        address = self.subnet.network_address + number
        return HostLink(str(address), f"lazaret-{self._tag}-{number}", f"lz{self._tag}h{number}", _mac_of(address))

    def number_of(self, link: HostLink) -> int:
        """The last number of the host's address, which is what a later process has to know."""
        return IPv4Address(link.address).packed[3]

    async def plug_in(self, link: HostLink) -> None:
        """Make namespace and cable afresh: a booting machine knows no packet filter of its life before."""
        await self.pull_out(link)
        inside = ("ip", "-n", link.namespace)
        await run("ip", "netns", "add", link.namespace)
        await run(
            *("ip", "link", "add", link.interface, "type", "veth"),
            *("peer", "name", "eth0", "address", link.mac, "netns", link.namespace),
        )
        await run(*inside, "link", "set", "lo", "up")
        await run(*inside, "address", "add", f"{link.address}/24", "dev", "eth0")
        await run(*inside, "link", "set", "eth0", "up")
        await run("ip", "link", "set", link.interface, "master", self.bridge, "up")
        # else the machine itself would report "no route to host" for a dead one; on the internet there is silence
        await run(
            *("ip", "neighbour", "replace", link.address, "lladdr", link.mac),
            *("dev", self.bridge, "nud", "permanent"),
        )

    async def pull_out(self, link: HostLink) -> None:
        """Take cable and namespace away; its address falls silent. Idempotent."""
        with suppress(CommandFailed):
            await run("ip", "link", "delete", link.interface)
        await _delete_namespace(link.namespace)

    async def remove(self, handle_id: int) -> None:
        """Free the address of a host, with all that hangs on it."""
        number = self._numbers.pop(handle_id, None)
        if number is None:
            return
        link = self.link(number)
        await self.pull_out(link)
        with suppress(CommandFailed):
            await run("ip", "neighbour", "delete", link.address, "dev", self.bridge)

    async def down(self) -> None:
        """Take everything away that carries this lab's tag, also what a crashed process left. Idempotent."""
        for namespace in _namespaces(f"lazaret-{self._tag}-"):
            await _delete_namespace(namespace)
        with suppress(CommandFailed):
            await run("ip", "link", "delete", self.bridge)
        self._numbers.clear()
        self._subnet = None

    async def _make_bridge(self) -> None:
        """With a MAC of its own: one that follows the ports makes the kernel forget its neighbours at each change."""
        own = _mac_of(IPv4Address(self.gateway))
        await run(
            *("ip", "link", "add", self.bridge, "address", own),
            *("type", "bridge", "stp_state", "0", "forward_delay", "0"),
        )
        await run("ip", "address", "add", f"{self.gateway}/24", "dev", self.bridge)

    async def _existing_subnet(self) -> IPv4Network | None:
        try:
            found = json.loads(await run("ip", "-j", "-4", "address", "show", "dev", self.bridge))
        except CommandFailed:
            return None
        for entry in found:
            for address in entry.get("addr_info", ()):
                return ipaddress.ip_network(f"{address['local']}/24", strict=False)  # type: ignore[return-value]
        await run("ip", "link", "delete", self.bridge)  # left half made
        return None


def _mac_of(address: IPv4Address) -> str:
    """Locally administered, told by the address."""
    return "02:4c:" + address.packed.hex(":")


def _namespaces(prefix: str) -> list[str]:
    return sorted(path.name for path in _NAMESPACES.glob(f"{prefix}*"))


async def _delete_namespace(name: str) -> None:
    """Idempotent, also when somebody else deletes it in the same moment."""
    try:
        if name in _namespaces(name):
            await run("ip", "netns", "delete", name)
    except CommandFailed:
        if name in _namespaces(name):
            raise


async def _networks_in_use() -> list[IPv4Network]:
    """All that the machine has an address in or a route to."""
    addresses = json.loads(await run("ip", "-j", "-4", "address", "show"))
    routes = json.loads(await run("ip", "-j", "-4", "route", "show", "table", "all"))
    found = [f"{info['local']}/{info['prefixlen']}" for entry in addresses for info in entry.get("addr_info", ())]
    found += [route["dst"] for route in routes if route["dst"] not in ("default", "0.0.0.0/0")]
    return [IPv4Network(text, strict=False) for text in found]


@asynccontextmanager
async def _one_at_a_time() -> AsyncGenerator[None, None]:
    """Two labs that start together must not choose the same net."""
    lock = os.open(_LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
