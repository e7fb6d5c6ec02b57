"""What this machine needs to boot real hosts, and the command that cures it. Looks only; changes nothing."""

import os
import platform
import shutil
import sys
from pathlib import Path

from lazaret.lab.host_cgroup import cgroup_root
from lazaret.lab.package_cache import machine_mirrors

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nginx": "nginx-light",
    "nsenter": "util-linux",
    "mount": "mount",
    "mke2fs": "e2fsprogs",
}
"""Program, and the Debian package that brings it."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_OLDEST_KERNEL = (5, 14)
_NET_ADMIN, _SYS_ADMIN = 12, 21


def missing_requirements() -> list[str]:
    """One sentence for each thing that is missing; empty when real hosts can be booted here."""
    if not sys.platform.startswith("linux"):
        return [f"real hosts need Linux; this is {platform.system()}"]
    if os.geteuid() != 0:
        return ["real hosts need root (they are booted with systemd-nspawn in network namespaces)"]
    return [*_missing_packages(), *_missing_of_the_kernel(), *_missing_mirrors()]


def _missing_packages() -> list[str]:
    packages = [package for program, package in _PROGRAMS.items() if shutil.which(program) is None]
    if not _KEYRING.exists():
        packages.append("debian-archive-keyring")
    if not packages:
        return []
    names = " ".join(sorted(packages))
    return [f"packages are missing: apt-get install --no-install-recommends {names}"]


def _missing_of_the_kernel() -> list[str]:
    found = []
    release = platform.release()
    if tuple(int(part) for part in release.split("-")[0].split(".")[:2]) < _OLDEST_KERNEL:
        found.append(f"the kernel is {release}; real hosts need {'.'.join(map(str, _OLDEST_KERNEL))}")
    root = cgroup_root()
    if root is None or not os.access(root, os.W_OK):
        found.append("no unified cgroup hierarchy (cgroup2) is mounted and writable")
    if not os.access("/dev/loop-control", os.W_OK):
        found.append("loop devices are missing, on which the hosts' disks are mounted")
    if not _may(_NET_ADMIN) or not _may(_SYS_ADMIN):
        found.append("this root may not make network namespaces and mounts (a container without CAP_SYS_ADMIN?)")
    return found


def _missing_mirrors() -> list[str]:
    if machine_mirrors() is None:
        return ["apt's configuration names no Debian archive from which hosts could be made"]
    return []


def _may(capability: int) -> bool:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> capability & 1)
