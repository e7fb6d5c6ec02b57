"""A real host's disk: an image file with a file system, mounted while the host exists. What is on it is set from here.

One file, because copying thousands of small ones is slow on some file systems, and because a disk has a size.
"""

import asyncio
import uuid
from pathlib import Path

from pydantic import SecretStr

from lazaret.kernel.errors import Conflict
from lazaret.lab.commands import CommandFailed, run

_COPY_TIMEOUT_S = 300.0

# What is on a fresh disk and on no other. Root directory, host name, machine id as arguments; apt's sources on stdin.
_PERSONALISE = """\
set -eu
cat > "$1/etc/apt/sources.list.d/debian.sources"
echo "$2" > "$1/etc/hostname"
printf '127.0.0.1 localhost\\n127.0.1.1 %s %s\\n' "$2" "${2%%.*}" > "$1/etc/hosts"
echo "$3" > "$1/etc/machine-id"
exec chroot "$1" ssh-keygen -q -A
"""

# A disk of which others are made must be whole; 1 says that what a mount leaves behind was mended.
_CHECK = 'e2fsck -f -p "$1" || test $? -eq 1'
_LOOKS, _LOOK_S = 150, 0.2

# What must not be the same on two hosts, of which a copy makes its own. Root directory as argument.
_DEPERSONALISE = """\
set -eu
rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/etc/apt/sources.list.d/debian.sources
rm -rf "$1"/var/log/journal/*
: > "$1/etc/machine-id"
"""

_INSTALL_KEY = "umask 077; mkdir -p /root/.ssh; cat >> /root/.ssh/authorized_keys"


class HostDisk:
    """The disk of one host, in the host's own directory."""

    def __init__(self, directory: Path) -> None:
        self._image = directory / "disk.img"
        self._unfinished = directory / "disk.img.unfinished"
        self._kept = directory / "disk.img.kept"
        self.root = directory / "disk"

    @property
    def exists(self) -> bool:
        """Whether it was made, to the end."""
        return self._image.exists()

    async def make(self, template: Path, *, hostname: str, sources: str, root_password: SecretStr) -> None:
        """A copy of the template with host keys and a machine id of its own. What was there before is gone."""
        await self._clear()
        copy = ("cp", "--reflink=auto", "--sparse=auto", str(template), str(self._unfinished))
        await run(*copy, timeout_s=_COPY_TIMEOUT_S)
        await self._mount(self._unfinished)
        machine_id = uuid.uuid4().hex
        await run("sh", "-c", _PERSONALISE, "sh", str(self.root), hostname, machine_id, stdin=sources)
        await self._change_password(root_password)
        self._unfinished.rename(self._image)

    async def attach(self) -> None:
        """Mount it, if it is not mounted. Raises `Conflict` when it was never made."""
        if not self.exists:
            raise Conflict("The host has no disk; create it first.")
        if not self.root.is_mount():
            await self._mount(self._image)

    async def save_as_template(self, path: Path) -> None:
        """A copy from which `make` makes other disks: all that was set up, nothing that makes it this host."""
        await self._let_go(self._image)
        copy = ("cp", "--reflink=auto", "--sparse=auto", str(self._image), str(self._unfinished))
        await run(*copy, timeout_s=_COPY_TIMEOUT_S)
        await self._mount(self._unfinished)
        try:
            await run("sh", "-c", _DEPERSONALISE, "sh", str(self.root))
        finally:
            await self._let_go(self._unfinished)
        await run("sh", "-c", _CHECK, "sh", str(self._unfinished), timeout_s=_COPY_TIMEOUT_S)
        await run("mv", str(self._unfinished), str(path), timeout_s=_COPY_TIMEOUT_S)

    async def _let_go(self, image: Path) -> None:
        """Unmount, and return when all is written: where a host still ends, its own view keeps the disk in use."""
        if _is_mount(self.root):
            await run("sync", "--file-system", str(self.root))
        await unmount(self.root)
        for _ in range(_LOOKS):
            if not (await run("losetup", "--associated", str(image))).strip():
                return
            await asyncio.sleep(_LOOK_S)

    @property
    def has_kept(self) -> bool:
        """Whether an older disk is kept aside."""
        return self._kept.exists()

    async def keep_aside(self) -> None:
        """Take the disk out and keep it; `make` can then make another. One that was kept before stays the one."""
        await unmount(self.root)
        if not self.has_kept:
            self._image.rename(self._kept)

    async def put_back(self) -> None:
        """The disk that was kept aside in place of the one that is in; that one is gone."""
        await self._clear()
        self._kept.rename(self._image)

    async def remove(self) -> None:
        """Unmount and delete it, also the one that is kept aside. Idempotent."""
        await self._clear()
        self._kept.unlink(missing_ok=True)

    async def set_root_password(self, password: SecretStr) -> None:
        """Whether the host runs or not: both see the same file system."""
        await self.attach()
        await self._change_password(password)

    async def install_root_key(self, public_key: str) -> None:
        """Let this key log in as root."""
        await self.attach()
        await run("chroot", str(self.root), "sh", "-c", _INSTALL_KEY, stdin=f"{public_key.strip()}\n")

    async def root_password_hash(self) -> SecretStr:
        """As it stands in the disk's shadow file."""
        await self.attach()
        lines = (self.root / "etc/shadow").read_text(encoding="utf-8").splitlines()
        return SecretStr(next(line.split(":")[1] for line in lines if line.startswith("root:")))

    async def set_root_password_hash(self, password_hash: SecretStr) -> None:
        """The same password as on another disk."""
        await self.attach()
        line = f"root:{password_hash.get_secret_value()}\n"
        await run("chroot", str(self.root), "chpasswd", "--encrypted", stdin=line)

    async def _clear(self) -> None:
        await unmount(self.root)
        self._image.unlink(missing_ok=True)
        self._unfinished.unlink(missing_ok=True)

    async def _change_password(self, password: SecretStr) -> None:
        """By the host's own program; the password goes through a pipe."""
        await run("chroot", str(self.root), "chpasswd", stdin=f"root:{password.get_secret_value()}\n")

    async def _mount(self, image: Path) -> None:
        self.root.mkdir(exist_ok=True)
        await run("mount", "-o", "loop,noinit_itable", str(image), str(self.root))


async def unmount(root: Path) -> None:
    """Take a disk away from its place, even from under somebody who looks at it. Idempotent."""
    while _is_mount(root):
        try:
            await run("umount", str(root))
        except CommandFailed:
            await run("umount", "--lazy", str(root))


def mounted_disks(directory: Path) -> list[Path]:
    """The disks of all hosts that have theirs below `directory`."""
    return [path for path in directory.glob("*/disk") if _is_mount(path)]


def _is_mount(path: Path) -> bool:
    return path.is_mount()
