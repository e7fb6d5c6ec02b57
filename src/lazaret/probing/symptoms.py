"""What a full reading says is wrong on a server that answers. Pure.

Each symptom has a threshold to begin and, where values waver, another one to end.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lazaret.probing.reading import FullReading, Reading
from lazaret.probing.rules import Rules


class Condition(StrEnum):
    """What is wrong with a server. The first seven mean that nobody can log in; the others come from readings."""

    SILENT = "silent"
    """No answer at all: no power, no network, or everything filtered."""
    REFUSED = "refused"
    """The machine answers, its SSH server does not."""
    NO_BANNER = "no_banner"
    """TCP is accepted and nothing follows: hung, overloaded or starting."""
    LOGIN_REFUSED = "login_refused"
    """SSH answers and does not take our key any more."""
    HOST_KEY_CHANGED = "host_key_changed"
    """Another machine answers, or a fresh system: nothing secret is sent there."""
    FILTERED = "filtered"
    """SSH does not answer while a published service does: a firewall, ours or the provider's."""
    UNREACHABLE_MIXED = "unreachable_mixed"
    """Nobody can log in, and every look fails in another way."""
    DOCKER_DOWN = "docker_down"
    """Docker is installed and does not answer."""
    DISK_FULL = "disk_full"
    """A file system has no room left."""
    INODES_FULL = "inodes_full"
    """A file system can take no more files."""
    MEMORY_EXHAUSTED = "memory_exhausted"
    """Next to no memory is available."""
    FIREWALL_OFF = "firewall_off"
    """The firewall that was set up is not in force."""
    SERVICE_DOWN = "service_down"
    """A container that should run does not."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """One confirmed symptom, with the sentence that a person reads."""

    condition: Condition
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"condition": self.condition.value, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Expectations:
    """What should run: container names by service."""

    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def symptoms_in(
    reading: Reading, rules: Rules, expectations: Expectations, known: Collection[Condition]
) -> dict[Condition, str]:
    """What this reading shows, with a sentence each. What is `known` already ends only at its own threshold."""
    full = reading.full
    if full is None:
        return {}
    found: dict[Condition, str] = {}
    if full.docker is not None and not full.docker.running:
        found[Condition.DOCKER_DOWN] = "Docker does not answer."
    for condition, text in _disks(full, rules, known):
        found.setdefault(condition, text)
    limit = rules.memory_well_percent if Condition.MEMORY_EXHAUSTED in known else rules.memory_low_percent
    if reading.memory_available_percent < limit:
        found[Condition.MEMORY_EXHAUSTED] = f"Only {reading.memory_available_mb} MB of memory are available."
    if full.firewall_active is False:
        found[Condition.FIREWALL_OFF] = "The firewall is not in force."
    down = services_down(full, expectations)
    if down:
        found[Condition.SERVICE_DOWN] = f"Not running: {', '.join(down)}."
    return found


def _disks(full: FullReading, rules: Rules, known: Collection[Condition]) -> list[tuple[Condition, str]]:
    found = []
    for mount, disk in full.disks.items():
        for condition, percent, what in (
            (Condition.DISK_FULL, disk.used_percent, "full"),
            (Condition.INODES_FULL, disk.inodes_percent, "out of inodes"),
        ):
            limit = rules.disk_well_percent if condition in known else rules.disk_full_percent
            if percent >= limit:
                found.append((condition, f"{mount} is {percent:.0f} % {what}, {disk.available_mb} MB are left."))
    return found


def services_down(full: FullReading, expectations: Expectations) -> list[str]:
    """Services of which a container is missing or in any state but running; none while Docker itself is silent."""
    if full.docker is None or not full.docker.running:
        return []
    states = full.docker.containers
    return [
        name
        for name, containers in expectations.services.items()
        if any(states.get(container) != "running" for container in containers)
    ]
