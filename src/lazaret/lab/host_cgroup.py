"""A real host's own cgroup: which processes are its, and their certain end. Nothing is ever found by a pattern."""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path

from lazaret.kernel.errors import Misconfigured, Unavailable

_TREE = "lazaret-lab"
_WANTED_CONTROLLERS = ("cpu", "io", "memory", "pids")
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

    async def end(self) -> None:
        """Kill all that runs in it and below, wait until it is gone, and remove the group. Idempotent."""
        await _end(self.path)
        shadow = _SHADOW / self.path.relative_to(self._above[0])
        _remove_groups(shadow)
        _remove_if_empty(*reversed(self._above[1:]), shadow.parent, shadow.parent.parent)


async def end_all_hosts(tag: str) -> None:
    """The same for every host of a lab, whoever started it. Idempotent."""
    root = cgroup_root()
    if root is not None:
        await _end(root / _TREE / tag)
        _remove_groups(_SHADOW / _TREE / tag)
        _remove_if_empty(root / _TREE, _SHADOW / _TREE)


async def _end(group: Path) -> None:
    if not group.is_dir():  # noqa: ASYNC240 - the kernel answers, not a disk
        return
    with suppress(FileNotFoundError):
        (group / "cgroup.kill").write_text("1", encoding="ascii")
    deadline_s = time.monotonic() + _DEATH_WAIT_S
    while _is_populated(group):
        if time.monotonic() > deadline_s:
            raise Unavailable(f"Processes in {group} do not die.")
        await asyncio.sleep(_POLL_S)
    _remove_groups(group)


def _remove_groups(group: Path) -> None:
    for path, _, _ in os.walk(group, topdown=False):
        with suppress(FileNotFoundError):
            os.rmdir(path)  # noqa: PTH106 - os.walk gives text


def _is_populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text(encoding="ascii")
    except OSError:  # ended by somebody else meanwhile
        return False


def _remove_if_empty(*groups: Path) -> None:
    for group in groups:
        with suppress(OSError):
            group.rmdir()
