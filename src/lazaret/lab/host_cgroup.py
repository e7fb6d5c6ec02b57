"""A real host's own cgroup: which processes are its, and their certain end. Nothing is ever found by a pattern."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from lazaret.kernel.errors import Misconfigured, Unavailable

_TREE = "lazaret-lab"
_WANTED_CONTROLLERS = ("cpu", "io", "memory", "pids")
_CLEARING_WAIT_S = 5.0
_DEATH_WAIT_S = 20.0
_POLL_S = 0.02


_SHADOW = Path("/sys/fs/cgroup/systemd")
"""Beside an older hierarchy systemd-nspawn makes a group of the same name in it, which never holds a process."""


def cgroup_root(mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """Where the unified cgroup hierarchy is mounted: alone, or beside the older ones; None where it is not."""
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, target, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(target)
    return None


class HostCgroup:
    """The cgroup of one host below the one of its lab."""

    def __init__(self, tag: str, number: int) -> None:
        root = cgroup_root()
        if root is None:
            raise Misconfigured("No unified cgroup hierarchy is mounted.")
        self._above = (root, root / _TREE, root / _TREE / tag)
        self.path = self._above[-1] / str(number)

    def make(self) -> None:
        """An empty group with the controllers that the machine can give. Idempotent."""
        self.path.mkdir(parents=True, exist_ok=True)
        for group in self._above:
            offered = (group / "cgroup.controllers").read_text(encoding="ascii").split()
            for controller in _WANTED_CONTROLLERS:
                if controller in offered:
                    # refused where older hierarchies hold it; the host then lives without limits
                    with suppress(OSError):
                        (group / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")

    def freeze(self) -> None:
        """Stop all that runs in it and below, where it stands."""
        (self.path / "cgroup.freeze").write_text("1", encoding="ascii")

    def thaw(self) -> None:
        """Let it run again."""
        (self.path / "cgroup.freeze").write_text("0", encoding="ascii")

    @property
    def is_frozen(self) -> bool:
        """Whether `freeze` holds."""
        try:
            return (self.path / "cgroup.freeze").read_text(encoding="ascii").strip() == "1"
        except OSError:  # there is no host on
            return False

    async def end(self) -> None:
        """Kill all that runs in it and below, wait until it is gone, and remove the group. Idempotent."""
        await _end_host(self.path)
        shadow = _SHADOW / self.path.relative_to(self._above[0])
        _remove_groups(shadow)
        _remove_if_empty(*reversed(self._above[1:]), shadow.parent, shadow.parent.parent)


async def end_all_hosts(tag: str) -> None:
    """The same for every host of a lab, whoever started it. Idempotent."""
    root = cgroup_root()
    if root is None:
        return
    for group in _groups_in(root / _TREE / tag):
        await _end_host(group)
    _remove_groups(root / _TREE / tag)
    _remove_groups(_SHADOW / _TREE / tag)
    _remove_if_empty(root / _TREE, _SHADOW / _TREE)


async def _end_host(group: Path) -> None:
    """First the host itself, its init included, so that systemd-nspawn clears up behind it; then whatever is left."""
    _kill(group / "payload")
    with suppress(OSError):  # frozen, systemd-nspawn could not clear up
        (group / "cgroup.freeze").write_text("0", encoding="ascii")
    if not await _is_empty_within(group, _CLEARING_WAIT_S):
        _kill(group)
        if not await _is_empty_within(group, _DEATH_WAIT_S):
            raise Unavailable(f"Processes in {group} do not die.")
    _remove_groups(group)


async def _is_empty_within(group: Path, wait_s: float) -> bool:
    for _ in range(int(wait_s / _POLL_S)):
        if not _is_populated(group):
            return True
        await asyncio.sleep(_POLL_S)
    return False


def _kill(group: Path) -> None:
    with suppress(OSError):  # there is none, or no more
        (group / "cgroup.kill").write_text("1", encoding="ascii")


def _groups_in(above: Path) -> list[Path]:
    return sorted(path.parent for path in above.glob("*/cgroup.procs"))


def _is_populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text(encoding="ascii")
    except OSError:
        return False


def _remove_groups(group: Path) -> None:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(FileNotFoundError):
            os.rmdir(path)  # noqa: PTH106 - os.walk gives text


def _remove_if_empty(*groups: Path) -> None:
    for group in groups:
        with suppress(OSError):
            group.rmdir()
