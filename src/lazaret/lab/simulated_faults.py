"""How a simulated host plays each fault: by what its listener does, and by what its readings say."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from lazaret.kernel.errors import Conflict
from lazaret.lab.playing import Play

if TYPE_CHECKING:
    from lazaret.lab.simulated import SimulatedHost


class Obstacle(StrEnum):
    """Why a simulated host that is on does not answer as it should."""

    CUT = "cut"
    """Silence, until it is healed."""
    LOCK_OUT = "lock_out"
    """Silence, until the firewall is flushed or the host goes off."""
    SSHD_STOPPED = "sshd_stopped"
    """Connections are refused, until the host goes off."""
    HANG = "hang"
    """Connections are taken and never answered, until the host goes off."""


def _obstacle(obstacle: Obstacle) -> Play[SimulatedHost]:
    async def inflict(host: SimulatedHost, parameters: Mapping[str, Any]) -> str:
        _check_it_can(host, parameters)
        host.obstruct(obstacle)
        return ""

    async def heal(host: SimulatedHost, _: str) -> None:
        host.clear(obstacle)

    async def holds(host: SimulatedHost, _: str) -> bool:
        return obstacle in host.obstacles

    return Play(inflict=inflict, heal=heal, holds=holds)


def _check_it_can(host: SimulatedHost, parameters: Mapping[str, Any]) -> None:
    """There is nothing but one TCP port, and no packets."""
    direction = parameters.get("direction", "both")
    if direction != "both":
        raise Conflict(f"A simulated host cannot be cut off {direction!r} alone.", hint="It can play direction=both.")
    port = parameters.get("port", host.ssh_port)
    if port not in (22, host.ssh_port):
        raise Conflict(f"A simulated host has no port {port}.", hint=f"Its only port is {host.ssh_port}, for 22.")


def _ailment(ailment: str) -> Play[SimulatedHost]:
    async def inflict(host: SimulatedHost, _: Mapping[str, Any]) -> str:
        host.ail(ailment)
        return ""

    async def heal(host: SimulatedHost, _: str) -> None:
        host.cure(ailment)

    async def holds(host: SimulatedHost, _: str) -> bool:
        return ailment in host.state.ailments

    return Play(inflict=inflict, heal=heal, holds=holds)


async def _change_host_key(host: SimulatedHost, _: Mapping[str, Any]) -> str:
    """What is remembered: the key that we made, then the one that was there."""
    host.host_key()
    old = host.state.host_key.get_secret_value()
    host.state.host_key = SecretStr("")
    host.host_key()
    host.restart_ssh()
    return f"{host.state.host_key.get_secret_value()}\0{old}"


async def _restore_host_key(host: SimulatedHost, memory: str) -> None:
    if await _has_our_host_key(host, memory):
        host.state.host_key = SecretStr(memory.partition("\0")[2])
        host.remember()
        host.restart_ssh()


async def _has_our_host_key(host: SimulatedHost, memory: str) -> bool:
    return host.state.host_key.get_secret_value() == memory.partition("\0")[0]


async def _wipe(host: SimulatedHost, _: Mapping[str, Any]) -> str:
    """What is remembered: the machine id of the fresh system, then all of the old one."""
    old = host.state
    await host.create(os=old.os, hostname=old.hostname, root_password=old.root_password)
    await host.power_on()
    return f"{host.state.machine_id}\0{old.model_dump_json()}"


async def _unwipe(host: SimulatedHost, memory: str) -> None:
    if await _is_wiped(host, memory):
        await host.power_off()
        old = type(host.state).model_validate_json(memory.partition("\0")[2])
        host.state = old.model_copy(update={"is_cut": host.state.is_cut})
        host.remember()
        await host.power_on()


async def _is_wiped(host: SimulatedHost, memory: str) -> bool:
    return host.state.machine_id == memory.partition("\0")[0]


PLAYS: Final[Mapping[str, Play[SimulatedHost]]] = {
    "hang": _obstacle(Obstacle.HANG),
    "cut": _obstacle(Obstacle.CUT),
    "disk_full": _ailment("disk_full"),
    "docker_stopped": _ailment("docker_down"),
    "sshd_stopped": _obstacle(Obstacle.SSHD_STOPPED),
    "lock_out": _obstacle(Obstacle.LOCK_OUT),
    "host_key": Play(inflict=_change_host_key, heal=_restore_host_key, holds=_has_our_host_key),
    "wiped": Play(inflict=_wipe, heal=_unwipe, holds=_is_wiped),
}
