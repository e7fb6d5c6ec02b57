"""One health sample of a server, as its stream prints it: a JSON line turned into a typed value. Pure.

A light line comes with every heartbeat and costs the server a few reads of /proc; a full line also holds what has to
be asked (Docker, disks, firewall, units).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lazaret.kernel.errors import LazaretError
from lazaret.kernel.texts import storable

LONGEST_LINE = 64 * 1024
"""Bytes; a longer line is not ours."""
NOTHING_KNOWN = b"\n"
"""No line begins like this."""
_MOST_NAMES = 500
"""Containers, units and mounts kept of one reading."""
_BEYOND_ALL = 2.0**53
"""No machine has so much of anything; columns of whole numbers end a thousand times later."""


class UnreadableReading(LazaretError):
    """A line of the stream is not a reading."""

    code = "unreadable_reading"


@dataclass(frozen=True, slots=True)
class DiskUse:
    """One real file system."""

    used_percent: float
    inodes_percent: float
    available_mb: int


@dataclass(frozen=True, slots=True)
class DockerState:
    """What Docker said. `containers` maps a container's name to `running`, `exited`, `restarting`, `unhealthy`, ..."""

    running: bool
    containers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FullReading:
    """The part that costs more and comes less often."""

    machine_id: str
    disks: Mapping[str, DiskUse]
    docker: DockerState | None
    """None where Docker is not installed."""
    firewall_active: bool | None
    """None where it could not be told."""
    failed_units: tuple[str, ...]
    pending_reboot: bool
    baseline_version: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample. `at` is when it arrived here; sizes in MiB, times in seconds."""

    at: datetime
    boot_id: str
    uptime_s: float
    load_1m: float
    memory_total_mb: int
    memory_available_mb: int
    clock_offset_s: float
    """The server's clock minus ours, the way of the line included."""
    full: FullReading | None = None

    @property
    def memory_available_percent(self) -> float:
        return 100 * self.memory_available_mb / self.memory_total_mb if self.memory_total_mb else 100.0


def parse_reading(line: str | bytes, *, at: datetime) -> Reading:
    """The reading in one line, or `UnreadableReading`. What the line has too much of is ignored.

    All of it can be stored: a fleet is written down together, and one server's odd line must not keep that from it.
    """
    if len(line) > LONGEST_LINE:
        raise UnreadableReading("A line of the stream is too long to be a reading.")
    try:
        raw = json.loads(line if isinstance(line, str) else line.decode())  # bytes would be searched for their encoding
        full = raw.get("full")
        return Reading(
            at=at,
            boot_id=_text(raw["boot"], 64),
            uptime_s=_number(raw["up"]),
            load_1m=_number(raw["load"]),
            memory_total_mb=int(_number(raw["mem"])) // 1024,
            memory_available_mb=int(_number(raw["avail"])) // 1024,
            clock_offset_s=_number(raw["now"]) - at.timestamp(),
            full=_full(full) if full is not None else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnreadableReading(f"A line of the stream is not a reading: {type(error).__name__}.") from None


def beginning_of(boot_id: str) -> bytes:
    """How each line of this boot begins."""
    return b'{"boot":"' + boot_id.encode() + b'",'


def only_goes_on(line: bytes, beginning: bytes) -> bool:
    """Whether a line says nothing that could be judged but that the boot with this beginning goes on."""
    return line.startswith(beginning) and line.endswith(b"}") and b'"full":' not in line


def _full(raw: Mapping[str, Any]) -> FullReading:
    docker = raw["docker"]
    return FullReading(
        machine_id=_text(raw["machine"], 64),
        disks={
            _text(mount): DiskUse(_number(d[0]), _number(d[1]), int(_number(d[2]))) for mount, d in _few(raw["disks"])
        },
        docker=DockerState(
            running=docker["running"] is True,
            containers={_text(name): _text(state, 40) for name, state in _few(docker["containers"])},
        )
        if docker is not None
        else None,
        firewall_active=raw["firewall"] if isinstance(raw["firewall"], bool) else None,
        failed_units=tuple(_text(unit) for unit in raw["failed"][:_MOST_NAMES]),
        pending_reboot=raw["reboot"] is True,
        baseline_version=_text(raw["baseline"], 64),
    )


def _text(value: Any, longest: int = 200) -> str:
    return storable(str(value))[:longest]


def _number(value: Any) -> float:
    """Python reads `NaN` and `Infinity` in JSON, which no table takes."""
    number = float(value)
    if not abs(number) < _BEYOND_ALL:
        raise ValueError("no size of anything")
    return number


def _few(items: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(items.items())[:_MOST_NAMES]
