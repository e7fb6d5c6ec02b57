"""What can go wrong with a server of the lab: the table of faults, and the one way to inflict and to heal each.

Owns their words and parameters. How a host plays a fault belongs to the host: `simulated_faults`, `real_faults`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError

from lazaret.kernel.errors import Conflict, InvalidInput
from lazaret.lab import fault_parameters as wanted
from lazaret.lab.host import LabHost
from lazaret.lab.playing import Play, PlaysFaults
from lazaret.lab.servers import ActiveFault

POWER_OFF: Final = "power_off"
WIPED: Final = "wiped"

REAL, SIMULATED = "real", "simulated"
_BOTH: Final = frozenset({REAL, SIMULATED})
_REAL: Final = frozenset({REAL})

_UNTIL_HEALED = "heal only: it is outside the machine"
_UNTIL_OFF = "heal, and whatever powers the host off: reboot, reinstall, power-off"
_UNTIL_REINSTALLED = "heal, and a reinstall"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    name: str
    help: str
    """One sentence: what is seen of it."""
    ends_with: str
    """What undoes it, besides whoever repairs it on the host."""
    hosts: frozenset[str] = _BOTH
    """Which can play it: `real`, `simulated`."""
    parameters: type[BaseModel] = field(default=wanted.Nothing)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; `parameters` maps each name to its sentence."""
        fields = self.parameters.model_fields
        return {
            "name": self.name,
            "help": self.help,
            "parameters": {name: one.description or "" for name, one in fields.items()},
            "ends_with": self.ends_with,
            "hosts": sorted(self.hosts),
        }


_TABLE: Final = (
    Fault(POWER_OFF, "The plug is pulled; the address falls silent.", "heal, power-on, reboot, reinstall"),
    Fault("hang", "Nothing on it runs; its kernel still takes TCP connections, and never answers.", _UNTIL_OFF),
    Fault("cut", "The network loses all packets, in one direction or both.", _UNTIL_HEALED, parameters=wanted.Cut),
    Fault("loss", "The network loses some packets, each way.", _UNTIL_HEALED, _REAL, wanted.Loss),
    Fault("delay", "Packets to the host come late.", _UNTIL_HEALED, _REAL, wanted.Delay),
    Fault("disk_full", "A log has eaten the disk.", _UNTIL_REINSTALLED, parameters=wanted.DiskFull),
    Fault("docker_stopped", "Docker is stopped; its containers with it.", "heal, reboot, reinstall"),
    Fault("sshd_stopped", "Nobody listens on the SSH port; open sessions end.", "heal, reboot, reinstall"),
    Fault(
        "lock_out",
        "The host's own firewall drops what comes to a port; the rest answers.",
        "heal, flushfirewall, reboot, reinstall",
        parameters=wanted.LockOut,
    ),
    Fault("host_key", "The SSH host keys are others; open sessions end.", _UNTIL_REINSTALLED),
    Fault(
        "container_crashed",
        "A container died and is not restarted.",
        "heal, its removal, reinstall",
        _REAL,
        wanted.ContainerCrashed,
    ),
    Fault(
        WIPED,
        "A fresh system stands where the old one was; the provider knows nothing of it. Root's password stays.",
        "heal, which puts the old disk back; a reinstall, after which the old disk is lost",
    ),
)
FAULTS: Final[Mapping[str, Fault]] = {fault.name: fault for fault in _TABLE}
"""All faults by name."""


def fault_named(name: str) -> Fault:
    """A row of the table. Raises `InvalidInput`, naming all faults."""
    if (fault := FAULTS.get(name)) is None:
        raise InvalidInput(f"{name!r} is no fault.", hint=f"Faults are {', '.join(FAULTS)}.")
    return fault


def parse_parameters(fault: Fault, given: Mapping[str, object]) -> dict[str, Any]:
    """The parameters with their defaults, checked; numbers may come as text. Raises `InvalidInput`."""
    try:
        return fault.parameters.model_validate(dict(given)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{fault.name}: {where}: {first['msg']}.", hint=_what_it_takes(fault)) from None


async def inflict(host: LabHost, name: str, **given: object) -> ActiveFault:
    """Let a host that is on have a fault; what is returned is needed to heal it.

    Raises `InvalidInput` for an unknown fault or wrong parameters, `Conflict` when this host cannot play it now.
    """
    fault = fault_named(name)
    parameters = parse_parameters(fault, given)
    play = _play_of(host, name)
    if not host.is_on:
        raise Conflict("The host is off.", hint="Power it on first.")
    memory = await play.inflict(host, parameters)
    return ActiveFault(name=name, parameters=parameters, memory=SecretStr(memory))


async def heal(host: LabHost, fault: ActiveFault) -> None:
    """Put back exactly what was. Harmless where nature, or somebody on the host, came first."""
    await _play_of(host, fault.name).heal(host, fault.memory.get_secret_value())


async def holds(host: LabHost, fault: ActiveFault) -> bool:
    """Whether the fault is still there, asked of the host itself; also true when it cannot be asked."""
    return await _play_of(host, fault.name).holds(host, fault.memory.get_secret_value())


def _play_of(host: LabHost, name: str) -> Play[Any]:
    if name == POWER_OFF:
        return _POWER
    plays = host.plays if isinstance(host, PlaysFaults) else {}
    if name not in plays:
        kind = host.kind if isinstance(host, PlaysFaults) else "such a"
        raise Conflict(f"A {kind} host cannot play {name!r}.", hint=f"It can play {', '.join([POWER_OFF, *plays])}.")
    return plays[name]


def _what_it_takes(fault: Fault) -> str:
    fields = fault.parameters.model_fields.items()
    takes = "; ".join(f"{name}: {one.description}" for name, one in fields)
    return f"It takes {takes}." if takes else "It takes no parameters."


async def _pull_the_plug(host: LabHost, _: Mapping[str, Any]) -> str:
    await host.power_off()
    return ""


async def _plug_in(host: LabHost, _: str) -> None:
    await host.power_on()


async def _is_off(host: LabHost, _: str) -> bool:
    return not host.is_on


_POWER: Final[Play[LabHost]] = Play(inflict=_pull_the_plug, heal=_plug_in, holds=_is_off)
