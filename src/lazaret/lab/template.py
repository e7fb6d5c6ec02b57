"""Disk templates: what a provider's minimal Debian image holds, made once per suite and kept for all labs.

Owns the recipe and the cache of its results. Knows nothing of a single host.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from lazaret.kernel.errors import InvalidInput, Unavailable
from lazaret.lab.commands import run
from lazaret.lab.servers import DEBIAN_12, DEBIAN_13

SUITES: Final[Mapping[str, str]] = {DEBIAN_13.os: "trixie", DEBIAN_12.os: "bookworm"}
"""Which Debian is behind a provider's template id."""

_PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "iproute2"),
    *("ca-certificates", "sudo", "procps", "kmod"),
)
_DISK_SIZE: Final = "40G"
"""As the rented plan says; the file is sparse and holds about 230 MB."""
_BUILD_TIMEOUT_S = 900.0
_POLL_S = 0.5

# No journal: after a hard power-off the machine still holds what the host wrote.
_FILE_SYSTEM: Final = ("mke2fs", "-q", "-t", "ext4", "-m", "1", "-O", "^has_journal", "-E", "lazy_itable_init=1")

# The provider's image lets root in by password; hardening has to win over exactly such a file.
_SSHD: Final = """\
PasswordAuthentication yes
PermitRootLogin yes
"""

# The kernel is shared with the machine: of all sysctls only the network's belong to the host alone.
_SYSCTL: Final = """\
[Service]
ExecStart=
ExecStart=/usr/lib/systemd/systemd-sysctl --prefix=/net
"""

_FINISH: Final = """\
set -eu
cd "$1"
printf '%s' "$2" > etc/ssh/sshd_config.d/50-cloud-init.conf
chmod 0600 etc/ssh/sshd_config.d/50-cloud-init.conf
mkdir -p etc/systemd/system/systemd-sysctl.service.d
printf '%s' "$3" > etc/systemd/system/systemd-sysctl.service.d/shared-kernel.conf
echo LANG=C.UTF-8 > etc/default/locale
rm -f etc/ssh/ssh_host_* etc/apt/sources.list etc/hostname etc/resolv.conf var/lib/dbus/machine-id
: > etc/machine-id
find var/cache/apt var/lib/apt/lists var/log -type f -delete
"""


def suite_of(os_template: str) -> str:
    """Debian's name for a provider's template id. Raises `InvalidInput`."""
    if os_template not in SUITES:
        raise InvalidInput(
            f"The lab has no disk for {os_template!r}.", hint=f"Real hosts can have {', '.join(SUITES)}."
        )
    return SUITES[os_template]


def template_name(suite: str) -> str:
    """Of its file. Changes with the recipe, so that an old template is never taken for a new one."""
    recipe = "\0".join((suite, *_PACKAGES, _SSHD, _SYSCTL, _FINISH, _DISK_SIZE, *_FILE_SYSTEM))
    return f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.img"


class Templates:
    """The templates in one directory, which all labs of the machine share."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def built(self, suite: str) -> Path | None:
        """The template, when there is one already."""
        path = self._directory / template_name(suite)
        return path if path.exists() else None

    async def get(self, suite: str, mirror: str) -> Path:
        """The disk image to copy; debootstrapped from `mirror` (most of a minute) when it is not there yet."""
        if (path := self.built(suite)) is not None:
            return path
        self._directory.mkdir(parents=True, exist_ok=True)
        async with _locked(self._directory / f".{suite}.lock"):
            if (path := self.built(suite)) is not None:
                return path
            return await self._build(suite, mirror)

    async def _build(self, suite: str, mirror: str) -> Path:
        """Seen by others only when it is whole. Whatever a build that died left is cleared away first."""
        path = self._directory / template_name(suite)
        tree, image = self._directory / f".building-{suite}", self._directory / f".building-{suite}.img"
        try:
            await remove_tree(tree)
            await run(
                *("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", suite, str(tree), mirror),
                timeout_s=_BUILD_TIMEOUT_S,
            )
            await run("sh", "-c", _FINISH, "sh", str(tree), _SSHD, _SYSCTL)
            image.unlink(missing_ok=True)
            await run(*_FILE_SYSTEM, "-d", str(tree), str(image), _DISK_SIZE, timeout_s=_BUILD_TIMEOUT_S)
            return image.rename(path)
        finally:
            await asyncio.shield(remove_tree(tree))


async def remove_tree(path: Path) -> None:
    """Delete a directory; never beyond its file system, lest something be mounted below. Idempotent."""
    await run("rm", "-rf", "--one-file-system", "--", str(path), timeout_s=300)


def default_cache_directory() -> Path:
    """Where templates and packages outlive their labs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lazaret-lab"


@asynccontextmanager
async def _locked(path: Path) -> AsyncGenerator[None, None]:
    """One build of a suite at a time, over all processes. Raises `Unavailable` when another takes too long."""
    with path.open("w") as lock:
        for _ in range(int(_BUILD_TIMEOUT_S / _POLL_S)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_POLL_S)
            else:
                break
        else:
            raise Unavailable(f"Another process holds {path} for {_BUILD_TIMEOUT_S:.0f} s.")
        yield
