"""How a real host is booted: the command that becomes systemd-nspawn, and its environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lazaret.lab.network import HostLink

# The first lets Docker turn on forwarding in /proc/sys, the others give it cgroups that it can write.
BOOT_ENVIRONMENT: Final[Mapping[str, str]] = {
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
    "UNIFIED_CGROUP_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
}


def boot_command(*, root: Path, machine: str, link: HostLink, cgroup: Path) -> list[str]:
    """A shell that moves into the host's own cgroup, then becomes systemd-nspawn. Two hosts in one cgroup would
    take each other's processes for their own."""
    return [
        *("sh", "-c", 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"', "sh", str(cgroup)),
        *("systemd-nspawn", "--directory", str(root), "--boot", f"--machine={machine}", "--console=read-only"),
        *("--register=no", "--keep-unit", f"--network-namespace-path={link.namespace_path}"),
        *("--capability=all", "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE", "--system-call-filter=@known"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
    ]
