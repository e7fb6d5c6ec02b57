"""A real Debian 13 host with Docker and no index of Python packages: what is to be installed there is copied there."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from lazaret.lab.commands import run
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.nspawn_rack import NspawnRack
from lazaret.lab.servers import DEBIAN_13
from lazaret.lab.tasks import new_password
from lazaret.lab.template import default_cache_directory
from tests.documents import blocks_of, run_pages

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements-run.lock"

# What is in a host's own environment, and no more: this machine's settings of pip would get in.
_ENVIRONMENT = ("env", "-i", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WHEELS = ("PIP_NO_INDEX=1", "PIP_FIND_LINKS=http://127.0.0.1:8999/")


@dataclass(slots=True)
class Machine:
    """The host, and its disk as seen from here."""

    host: NspawnHost
    disk: Path

    async def does(self, script: str, *, timeout_s: float = 120) -> str:
        """Output of a script run there by root; a command that fails ends it. Raises `CommandFailed`."""
        shell = ("bash", "-euo", "pipefail", "-c", script)
        return await self.host.run_inside(*_ENVIRONMENT, _PATH, *_WHEELS, *shell, timeout_s=timeout_s)

    async def follows(self, name: str, *, directory: str = "/root", then: str = "", timeout_s: float = 600) -> str:
        """Run one block of a page's commands, as it stands there, and `then` what is typed next in that terminal."""
        return await self.does(f"cd {directory}\n{block(name)}{then}", timeout_s=timeout_s)


def block(name: str) -> str:
    """The commands that a page marks with `<!-- tested: NAME -->`."""
    (found,) = (one for page in run_pages() for one in blocks_of(page) if one.tested_elsewhere == name)
    return found.text


@pytest.fixture(scope="session")
def wheelhouse() -> Path:
    """Every library that runs Lazaret, for the host's Python; kept like the lab's templates."""
    name = f"wheels-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    kept = default_cache_directory() / name
    if not kept.exists():
        draft = kept.with_name(f"{name}.unfinished")
        shutil.rmtree(draft, ignore_errors=True)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(draft)]
        fetch += ["--python-version", "3.13", "--only-binary", ":all:"]
        subprocess.run([*fetch, "--require-hashes", "-r", str(LOCK)], check=True, capture_output=True)
        subprocess.run([*fetch, *_build_requires()], check=True, capture_output=True)
        for other in kept.parent.glob("wheels-????????????"):
            shutil.rmtree(other)
        draft.rename(kept)
    return kept


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    """With a checkout in /root/checkout, the wheel and its lock in /root/install, and an image `lab/debian`."""
    directory = tmp_path_factory.mktemp("lab") / "hosts"
    rack = NspawnRack(name=f"pack{directory.parent.name[-1]}{id(directory) % 9973}", directory=directory)
    try:
        await rack.up()
        host = await rack.new_host(900001)
        await host.create(os=DEBIAN_13.os, hostname="keeper.example", root_password=new_password())
        await host.power_on()
        machine = Machine(host, directory / "900001/disk")
        home = machine.disk / "root"
        await run(
            "tar", "-C", str(machine.disk), "--exclude=./root/*", "-cf", str(home / "base.tar"), ".", timeout_s=120
        )
        await _copy(home, wheelhouse)
        await machine.does(_PREPARE, timeout_s=400)
        yield machine
    finally:
        await rack.down()


async def _copy(home: Path, wheelhouse: Path) -> None:
    shutil.copytree(wheelhouse, home / "wheels")
    (home / "install").mkdir()
    shutil.copy(LOCK, home / "install")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home / "install"))
    await run("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(ROOT), *build, timeout_s=200)
    (home / "checkout").mkdir()
    await run("sh", "-c", _CHECKOUT, "sh", str(ROOT), str(home / "checkout"))


def _build_requires() -> list[str]:
    return re.findall(r'^requires = \["(.+)"\]', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


_CHECKOUT = """\
cd "$1"
git ls-files -co --exclude-standard | grep -vE '^(tests|docs/screenshots)/' | tar -c -T - | tar -x -C "$2"
"""

_PREPARE = """\
apt-get update -qq
apt-get install -y -qq --no-install-recommends docker.io docker-cli docker-buildx docker-compose iptables >/dev/null
docker import /root/base.tar lab/debian:trixie >/dev/null
rm /root/base.tar
systemd-run --quiet --unit wheels --working-directory=/root/wheels python3 -m http.server --bind 127.0.0.1 8999
"""
