"""A whole installation against a lab of simulated hosts: the worker is a process of its own that tests may kill."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from lazaret.entrypoints.office import Office, open_office
from lazaret.kernel import audit
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings
from lazaret.lab.calls import Call
from lazaret.lab.instance import Lab
from lazaret.operations import store
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.servers.model import Server, SyncState
from lazaret.servers.store import get_server

OPERATOR = audit.Actor("tester", audit.Channel.CLI)
PATIENCE_S = 120.0


@dataclass(slots=True)
class Installation:
    """Lazaret as a user has it, pointed at a lab."""

    lab: Lab
    conninfo: str
    environment: dict[str, str]
    office: Office
    log: Path
    program: Path
    worker: asyncio.subprocess.Process | None = None
    command_lines: set[str] = field(default_factory=set)
    lost_its_database: bool = False
    """Then libraries may log tracebacks of their own; else there is never one."""

    async def start_worker(self) -> None:
        with self.log.open("ab") as log:
            self.worker = await asyncio.create_subprocess_exec(
                str(self.program), "worker", env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    async def kill_worker(self) -> None:
        """SIGKILL: no handler, no clean-up."""
        assert self.worker is not None
        self.worker.send_signal(signal.SIGKILL)
        await self.worker.wait()

    async def stop_worker(self) -> int:
        assert self.worker is not None
        if self.worker.returncode is None:
            self.worker.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.worker.wait(), 60)

    async def server(self, handle: str = "vps-900001") -> Server:
        async with self.office.db.transaction() as session:
            return await get_server(session, handle)

    async def until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Return when it is so."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not await condition():
            assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {PATIENCE_S:.0f} s"
            await asyncio.sleep(0.1)

    async def sync_state(self) -> SyncState | None:
        """How the worker's readings of the provider's list go; None before the first."""
        async with self.office.db.transaction() as session:
            return await session.get(SyncState, "time4vps")

    async def until_listed_again(self, times: int = 2) -> None:
        """Return after so many further readings of the list have ended, whatever they brought."""
        for _ in range(times):
            before = await self.sync_state()

            async def has_looked(before: SyncState | None = before) -> bool:
                now = await self.sync_state()
                return now is not None and (before is None or now.last_attempt_at != before.last_attempt_at)

            await self.until("the list is read again", has_looked)

    async def operation(self, handle: str = "vps-900001") -> Operation:
        """The newest operation of the server."""
        async with self.office.db.transaction() as session:
            rows, _ = await store.list_operations(session, handle=handle, limit=1)
        return rows[0]

    async def until_operation(
        self, wanted: Callable[[Operation], bool], *, handle: str = "vps-900001", timeout_s: float = PATIENCE_S
    ) -> Operation:
        """The newest operation of the server, once it is as wanted."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        seen = None
        while asyncio.get_running_loop().time() < deadline:
            async with self.office.db.transaction() as session:
                rows, _ = await store.list_operations(session, handle=handle, limit=1)
            if rows:
                seen = rows[0]
                if wanted(seen):
                    return seen
            await asyncio.sleep(0.1)
        text = self.log.read_text(errors="replace")[-3000:]
        state = f"{seen.status} in {seen.step}: {seen.error}" if seen else "none"
        raise AssertionError(f"the operation never was as wanted; it is {state}\n{text}")

    async def until_ended(self, *, handle: str = "vps-900001", timeout_s: float = PATIENCE_S) -> Operation:
        return await self.until_operation(
            lambda operation: OperationStatus(operation.status) not in LIVE, handle=handle, timeout_s=timeout_s
        )

    async def until_step(self, name: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Return when the newest operation runs this step, or has gone beyond it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            async with self.office.db.transaction() as session:
                rows, _ = await store.list_operations(session, handle="vps-900001", limit=1)
                steps = await store.steps_of(session, rows[0].id) if rows else []
            if any(step.name == name for step in steps):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"the step {name} never began\n{self.log.read_text(errors='replace')[-3000:]}")

    def accepted(self, action: Call) -> int:
        """How many calls of this kind the provider took."""
        return len(self.lab.journal.entries(kind="call", action=action.value, outcome="accepted"))

    def secrets(self) -> list[str]:
        """Every value that must stand nowhere in clear: the account's password, the hosts' root passwords, the key."""
        values = [self.lab.account.password.get_secret_value(), self.environment["LAZARET_SECRET_KEY"]]
        values += [server.root_password.get_secret_value() for server in self.lab.cloud.servers()]
        key = Path(self.environment["LAZARET_DATA_DIR"]) / "ssh" / "access_key"
        if key.exists():
            values += [line for line in key.read_text().splitlines() if len(line) > 30 and "KEY" not in line]
        return values


@pytest.fixture
def time_scale() -> float:
    """Of the lab's tasks; a reset takes 45 s at 1."""
    return 0.02


@pytest.fixture
async def installation(conninfo: str, program: Path, time_scale: float) -> AsyncIterator[Installation]:
    """One new server in the account, and no worker yet. Afterwards no secret may stand anywhere in clear."""
    directory = Path(tempfile.mkdtemp(prefix="lazaret-test-"))
    async with Lab(name=f"f{os.getpid()}", hosts=1, time_scale=time_scale) as lab:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            **lab.environment(),
            "DATABASE_URL": conninfo,
            "LAZARET_DATA_DIR": str(directory),
            "LAZARET_SECRET_KEY": "cGxhbnRlZC1rZXktdGhhdC1pcy0zMi1ieXRlcy1sb24=",
            "LAZARET_PROVIDER_CALLS_PER_MINUTE": "6000",
            "LAZARET_WORKER_DEAD_AFTER": "2",
            "PASSWORD_RESET_TIMEOUT": "60",
            "SERVER_SYNC_INTERVAL": "0.5",
        }
        settings = load_settings({k: v for k, v in environment.items() if k not in {"PATH", "HOME"}})
        async with open_office(settings, redactor=Redactor()) as office:
            made = Installation(lab, conninfo, environment, office, directory / "worker.log", program)
            watching = asyncio.create_task(_collect_command_lines(made))
            try:
                yield made
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                if made.worker is not None and made.worker.returncode is None:
                    with contextlib.suppress(TimeoutError):
                        await made.stop_worker()
                    if made.worker.returncode is None:
                        await made.kill_worker()
            assert_no_secret_in_clear(made)
    shutil.rmtree(directory, ignore_errors=True)


async def _collect_command_lines(installation: Installation) -> None:
    """What a stranger on this machine sees of the process list."""
    while True:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                installation.command_lines.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        await asyncio.sleep(0.2)


def assert_no_secret_in_clear(installation: Installation) -> None:
    """Search the log, the process list and every table as text."""
    places = {"log": installation.log.read_text(errors="replace") if installation.log.exists() else ""}
    places["process list"] = "\n".join(installation.command_lines)
    with psycopg.connect(installation.conninfo) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = connection.execute(f'select t::text from "{table}" t').fetchall()
            places[f"table {table}"] = "\n".join(row[0] for row in rows)
            if table in {"checkpoint_blobs", "checkpoint_writes"}:
                blobs = connection.execute(f'select blob from "{table}"').fetchall()
                places[f"blobs of {table}"] = "\n".join((blob or b"").decode(errors="replace") for (blob,) in blobs)
    found = [
        place
        for place, text in places.items()
        for secret in installation.secrets()
        if len(secret) > 5 and secret in text
    ]
    assert not found, f"a secret stands in clear in: {', '.join(sorted(set(found)))}"
    if "Traceback" in places["log"] and not installation.lost_its_database:
        raise AssertionError(places["log"][-6000:])
