"""Lazaret as a user meets it: the command, in a data directory of its own."""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

INSTALLED = str(Path(sys.executable).with_name("lazaret"))
"""The command itself, where its start matters."""


@dataclass(slots=True)
class Finished:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Shell:
    """Runs commands with an environment; nothing of the tester's own settings is in it."""

    directory: Path
    loaded: Callable[[], Path]
    """The command of a process that has loaded Lazaret, which is started when the first test asks for it."""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def whole_environment(self) -> dict[str, str]:
        own = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "LAZARET_DATA_DIR": str(self.directory / "data"),
        }
        return own | self.environment

    async def run(self, *arguments: str, program: str = "", stdin: str = "", timeout_s: float = 60) -> Finished:
        """Run to the end. No command may ever show a traceback."""
        process = await asyncio.create_subprocess_exec(
            program or str(self.loaded()),
            *arguments,
            env=self.whole_environment,
            cwd=self.directory,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate(stdin.encode())
        finished = Finished(process.returncode or 0, out.decode(), err.decode())
        assert "Traceback" not in finished.out + finished.err, finished
        return finished


@dataclass(slots=True)
class Up:
    """A running `lazaret up`."""

    process: asyncio.subprocess.Process
    log: Path
    url: str = ""
    token: str = ""
    started_in_s: float = 0.0

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, trust_env=False, timeout=20
        )

    async def end(self) -> int:
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 60)


async def start_up(shell: Shell, name: str = "up", *, program: str = "") -> Up:
    """Start `lazaret up` and return when it answers; says how long that took."""
    begun = asyncio.get_running_loop().time()
    log = shell.directory / f"{name}.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            program or str(shell.loaded()),
            "up",
            env=shell.whole_environment,
            cwd=shell.directory,
            stdout=file,
            stderr=file,
        )
    up = Up(process, log)
    async with asyncio.timeout(90), httpx.AsyncClient(trust_env=False) as client:
        while True:
            assert process.returncode is None, log.read_text()
            text = log.read_text()
            if found := re.search(r"API +(http://\S+)", text):
                up.url = found[1]
                try:
                    assert (await client.get(f"{up.url}/healthz")).status_code == 200
                    break
                except httpx.TransportError:
                    pass
            await asyncio.sleep(0.02)
    up.started_in_s = asyncio.get_running_loop().time() - begun
    if found := re.search(r"lzr_\S+", log.read_text()):
        up.token = found[0]
    return up


@pytest.fixture
def shell(request: pytest.FixtureRequest) -> Iterator[Shell]:
    directory = Path(tempfile.mkdtemp(prefix="lazaret-product-"))
    directory.chmod(0o755)
    yield Shell(directory, partial(request.getfixturevalue, "program"), {"LAZARET_PORT": "0"})
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def up(shell: Shell) -> AsyncIterator[Up]:
    """`lazaret up` with whatever the shell's environment says when the test begins."""
    running = await start_up(shell)
    try:
        yield running
    finally:
        await running.end()
        assert "Traceback" not in running.log.read_text()
