"""A terminal in which a document's commands are typed: a lab of simulated hosts, a running `lazaret up`, one shell.

What is changed in a command before it runs, and nothing else: `HANDLE` and `vps-900001` are the server of the page,
`ID` is the newest thing of the kind that the command names, `localhost:8000` is where this Lazaret listens, and
`lab up` simulates its hosts.
"""

import asyncio
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.documents import ROOT
from tests.zygote import write_shim

LONG_RUNNING = re.compile(r"(?:\S*/)?lazaret (?:up|worker|monitor|api|bot|lab telegram)\b(?! +--help)")
"""Commands that stay until Ctrl-C: a reader opens another terminal for them."""
READING = re.compile(
    r"(?:\w+=\S+ )?(?:\S*/)?lazaret "
    r"(?:servers|why|check|audit|holds|users|doctor|operations(?: show)?"
    r"|incidents(?: show| evidence)?|approvals|windows|deployments(?: show)?|token list|lab (?:list|faults|journal))"
    r"(?: +(?:--?[\w-]+|vps-\d+|\d+"
    r"|--\w+ \w+|\w+))* *(?:\|.*)?$|curl -s [^-]*(?:-H \"[^\"]*\" *)*(?:\|.*)?$"
)
"""Commands that change nothing: at the end of a block they are typed again until they print what the page promises."""
QUICK = {
    "HEARTBEAT_INTERVAL": "0.5",
    "HEALTH_CHECK_INTERVAL": "1",
    "LAZARET_KNOCK_INTERVAL": "1",
    "LAZARET_REMEDY_PATIENCE": "0.03",
    "LAZARET_LOG_LEVEL": "info",
    "NOTIFICATION_RATE_LIMIT": "1000",
}
"""A night in fast motion."""
NEWEST = {
    "incidents": "/api/incidents/?server_handle={handle}&limit=1",
    "operations": "/api/operations/?server_handle={handle}&limit=1",
    "approvals": "/api/approvals/?server_handle={handle}&is_open=true&limit=1",
    "deployments": "/api/deployments/?server_handle={handle}&limit=1",
    "windows": "/api/maintenance-windows/",
    "holds": "/api/holds/",
}


@dataclass(slots=True)
class Printed:
    """What a block left behind."""

    code: int
    out: str


@dataclass(slots=True)
class Terminal:
    """One directory, one environment, one shell whose variables last from block to block."""

    directory: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    phone_port: int = field(default_factory=lambda: free_port())
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def exported(self) -> Path:
        """What was exported so far, as a script."""
        return self.directory / "exported"

    @property
    def whole_environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.directory}/.venv/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.directory / "home"),
            "LAZARET_DATA_DIR": str(self.directory / "data"),
            "LAZARET_PORT": str(self.port),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            **self.environment,
        }

    async def type(self, script: str, *, timeout_s: float = 60) -> Printed:
        """Run a script to its end, as if typed; what it exports stays."""
        whole = f". {self.exported} 2>/dev/null; set -e; trap 'export -p > {self.exported}' EXIT\n{script}"
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            whole,
            env=self.whole_environment,
            cwd=self.directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(timeout_s):
            out, _ = await process.communicate()
        text = out.decode()
        assert "Traceback" not in text, f"{script}\n{text}"
        return Printed(process.returncode or 0, text)

    async def start(self, command: str, ready: str) -> str:
        """Start what stays; returns what it printed once `ready` is in it. One of a kind at a time."""
        name = command.split()[1]
        await self.end(name)
        log = self.directory / f"{name}.log"
        with log.open("wb") as file:
            self.running[name] = await asyncio.create_subprocess_exec(
                "bash",
                "-c",
                f". {self.exported} 2>/dev/null; exec {command}",
                env=self.whole_environment,
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        async with asyncio.timeout(40):
            while ready not in log.read_text():
                assert self.running[name].returncode is None, log.read_text()
                await asyncio.sleep(0.05)
        return log.read_text()

    async def end(self, name: str) -> None:
        """Ctrl-C."""
        process = self.running.pop(name, None)
        if process is not None and process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 20)

    async def close(self) -> None:
        for name in list(self.running):
            await self.end(name)


@dataclass(slots=True)
class Session:
    """A terminal with the eyes of its reader on one server."""

    terminal: Terminal
    handle: str = "vps-900001"
    token: str = ""

    async def up(self) -> None:
        """`lazaret up`, answering."""
        printed = await self.terminal.start("lazaret up", "Ctrl-C ends it")
        if found := re.search(r"lzr_\S+", printed):
            self.token = found[0]
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(20):
            while True:
                try:
                    if (await client.get(f"{self.terminal.url}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)

    async def telegram(self, command: str) -> None:
        """A Telegram with a phone; the variables that it prints are given to the terminal."""
        printed = await self.terminal.start(self.here(command), "Phone:")
        exports = [line for line in printed.splitlines() if line.startswith("export ")]
        assert (await self.terminal.type("\n".join(exports))).code == 0

    async def get(self, path: str) -> dict:  # type: ignore[type-arg]
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=20) as client:
            return (await client.get(f"{self.terminal.url}{path}")).raise_for_status().json()

    def here(self, text: str) -> str:
        """A document's words as they are in this session."""
        text = text.replace("vps-900001", self.handle).replace("8899", str(self.terminal.phone_port))
        return text.replace("http://localhost:8000", self.terminal.url)

    async def command(self, text: str) -> str:
        """A block of commands as it is typed here."""
        text = re.sub(r"lazaret lab up\b", "lazaret lab up --simulated", self.here(text.replace("HANDLE", self.handle)))
        for line in text.splitlines():
            if re.search(r"\bID\b", line):
                text = text.replace(line, re.sub(r"\bID\b", str(await self._newest(line)), line), 1)
        return text

    async def _newest(self, line: str) -> int:
        kind = next(kind for kind in re.findall(r"[a-z]+", line) if kind in NEWEST)
        async with asyncio.timeout(30):
            while True:
                answer = await self.get(NEWEST[kind].format(handle=self.handle))
                rows = answer["items"] if isinstance(answer, dict) else answer
                if rows:
                    return int(max(row["id"] for row in rows))
                await asyncio.sleep(0.2)


def acting_and_reading(text: str) -> tuple[str, str]:
    """A block of commands in two: up to its last command that changes something, and those behind that only read."""
    lines = text.replace("\\\n", " ").splitlines()
    acting = [number for number, line in enumerate(lines, 1) if not _only_reads(line)]
    end = acting[-1] if acting else 0
    return "\n".join(lines[:end]), "\n".join(lines[end:])


def _only_reads(line: str) -> bool:
    command = re.sub(r"(^|\s+)#.*", "", line).strip()
    return not command or READING.fullmatch(command) is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_terminal(socket_path: Path, environment: Mapping[str, str]) -> Terminal:
    """A directory that looks like a checkout with `.venv/bin/lazaret` in it."""
    directory = Path(tempfile.mkdtemp(prefix="lzrdoc-"))
    directory.chmod(0o755)
    (directory / "home").mkdir()
    write_shim(directory / ".venv" / "bin" / "lazaret", socket_path)
    for name in ("test_force_rebuild.sh", "docs", "src", "scripts", "pyproject.toml"):
        (directory / name).symlink_to(ROOT / name)
    return Terminal(directory, free_port(), dict(environment))


async def close_terminal(terminal: Terminal) -> None:
    """End all that it started."""
    await terminal.close()
    await terminal.type("lazaret lab down")
    shutil.rmtree(terminal.directory, ignore_errors=True)


def rows(text: str) -> list[dict]:  # type: ignore[type-arg]
    return json.loads(text)
