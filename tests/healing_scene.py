"""Lazaret whole, worker and monitor, over hosts of a lab, in a hurry: heartbeats of a second. For tests of recovery."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml
from sqlalchemy import Select, select

from lazaret.alerting.model import OutboxMessage
from lazaret.entrypoints.monitor import run_monitor
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.worker import run_worker
from lazaret.healing.model import RemedyRun
from lazaret.incidents.model import Incident, TimelineEntry
from lazaret.kernel import audit
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings
from lazaret.lab.instance import Lab
from lazaret.lab.rack import Rack
from lazaret.lab.simulated_network import full_backlog
from lazaret.operations.model import Operation
from lazaret.probing.model import ServerHealth
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus

Row = TypeVar("Row")
OPERATOR = audit.Actor("tester", audit.Channel.CLI)
BUSY_MACHINE = 2
"""So many times longer may anything take where several tests share two cores."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.4
"""Between two looks at a condition: what takes long is looked at less often, for looking is work too."""
HURRY = {
    "HEARTBEAT_INTERVAL": "1",
    "HEALTH_CHECK_INTERVAL": "2",
    "SERVER_SYNC_INTERVAL": "1",
    "LAZARET_REMEDY_PATIENCE": "0.2",
    "LAZARET_STORM_QUIET": "6",
    "LAZARET_KNOCK_INTERVAL": "2",
    "LAZARET_PROVIDER_CALLS_PER_MINUTE": "6000",
    "LAZARET_WORKER_DEAD_AFTER": "3",
}


@dataclass(frozen=True)
class PreparedDisk:
    """The disk of a host that was set up, and the key that opens it."""

    image: Path
    key: Path

    def rack(self, name: str, directory: Path) -> Rack:
        from lazaret.lab.nspawn_rack import NspawnRack

        return NspawnRack(name=name, directory=directory / "lab" / "hosts", first_disk=self.image)


@dataclass
class Scene:
    """A lab, an office, and the processes that a test may end and begin again."""

    lab: Lab
    office: Office
    environment: dict[str, str]
    hosts_file: Path | None = None
    """Where some of the lab's hosts are hosts of a file."""
    static_ids: frozenset[int] = frozenset()
    """Those; they have the same id there."""
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    def begin(self, *names: str) -> None:
        """Start `worker` or `monitor`, or several of each by any name that begins so."""
        for name in names:
            run = run_worker if name.startswith("worker") else run_monitor
            self.tasks[name] = asyncio.create_task(run(self.office))

    async def end(self, *names: str) -> None:
        for name in names or tuple(self.tasks):
            task = self.tasks.pop(name)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def handles(self) -> list[str]:
        numbers = [server.server_id for server in self.lab.cloud.servers()]
        return [f"{'host' if number in self.static_ids else 'vps'}-{number}" for number in numbers]

    async def rows(self, statement: Select[tuple[Row]]) -> list[Row]:
        async with self.office.db.transaction() as session:
            return list(await session.scalars(statement))

    async def server(self, handle: str) -> Server:
        return (await self.rows(select(Server).where(Server.handle == handle)))[0]

    async def incidents(self, handle: str | None = None) -> list[Incident]:
        statement = select(Incident).order_by(Incident.id)
        return await self.rows(statement if handle is None else statement.where(Incident.server_handle == handle))

    async def operations(self, handle: str) -> list[Operation]:
        return await self.rows(select(Operation).where(Operation.server_handle == handle).order_by(Operation.id))

    async def remedies(self, handle: str) -> list[str]:
        rows = await self.rows(select(RemedyRun).where(RemedyRun.server_handle == handle).order_by(RemedyRun.id))
        return [f"{row.remedy} {row.outcome}" for row in rows]

    async def story(self) -> str:
        """Everything that was told, for a failing test's message."""
        lines = []
        for entry in await self.rows(select(TimelineEntry).order_by(TimelineEntry.id)):
            lines.append(f"{entry.at:%H:%M:%S.%f} incident {entry.incident_id} {entry.kind}: {entry.message}")
        for one in await self.rows(select(Operation).order_by(Operation.id)):
            words = (one.id, one.kind, one.server_handle, one.status, one.step, one.waiting_for, one.hint, one.error)
            lines.append(f"operation {' '.join(map(str, words))}")
        for row in await self.rows(select(ServerHealth)):
            lines.append(f"{row.server_handle} {row.phase} {row.condition} {row.because}")
        return "\n".join(lines)

    async def messages(self) -> list[str]:
        return [
            message.text.format(**message.data)
            for message in await self.rows(select(OutboxMessage).order_by(OutboxMessage.id))
        ]

    async def until(self, what: str, condition: Callable[[], object], *, timeout_s: float = 60) -> None:
        """Wait until an async or plain condition holds; `timeout_s` is for a machine that does nothing else."""
        print(f"{self.office.clock.now():%H:%M:%S} until {what}")  # a test that times out shows where it was
        timeout_s *= BUSY_MACHINE
        pause_s = FIRST_PAUSE_S
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = condition()
                    if asyncio.iscoroutine(found):
                        found = await found
                    if found:
                        return
                    await asyncio.sleep(pause_s)
                    pause_s = min(LONGEST_PAUSE_S, 1.1 * pause_s)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s} s: {what}\n{await self.story()}") from None

    async def holds_for(self, seconds: float, condition: Callable[[], Awaitable[bool]]) -> None:
        """What is so stays so."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            assert await condition(), await self.story()
            await asyncio.sleep(0.2)

    @staticmethod
    @contextmanager
    def silent_at(address: str, port: int) -> Iterator[None]:
        """Nobody answers there meanwhile, as if the cable of the machine that we run on were cut."""
        plug = full_backlog(address, port)
        try:
            yield
        finally:
            for one in plug:
                one.close()

    async def worker_process(self) -> asyncio.subprocess.Process:
        """A worker of its own process, on this database; what can be killed."""
        return await self.process("worker")

    async def process(self, name: str) -> asyncio.subprocess.Process:
        """A `worker` or `monitor` of its own process."""
        environment = {
            "PATH": os.environ["PATH"],
            **self.environment,
            "DATABASE_URL": self.office.conninfo,
            "LAZARET_DATA_DIR": str(self.office.settings.lazaret_data_dir),
        }
        made = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("lazaret")),
            name,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.processes.append(made)
        return made

    async def until_watched(self, *, timeout_s: float = 60) -> None:
        """All managed servers are ready and seen well by a monitor."""

        async def all_well() -> bool:
            rows = await self.rows(select(ServerHealth.phase))
            return len(rows) == len(self.handles()) and set(rows) == {"well"}

        await self.until("all servers are watched and well", all_well, timeout_s=timeout_s)

    async def until_status(self, handle: str, *statuses: ServerStatus, timeout_s: float = 60) -> None:
        async def reached() -> bool:
            return (await self.server(handle)).status in statuses

        await self.until(f"{handle} is {statuses}", reached, timeout_s=timeout_s)

    async def until_resolved(self, handle: str, *, timeout_s: float = 60) -> Incident:
        async def over() -> bool:
            rows = await self.incidents(handle)
            return bool(rows) and all(row.status == "resolved" for row in rows)

        await self.until(f"the incidents of {handle} are resolved", over, timeout_s=timeout_s)
        return (await self.incidents(handle))[-1]


@asynccontextmanager
async def scene_of(
    hosts: int,
    *,
    simulated: bool = True,
    prepared: PreparedDisk | None = None,
    static: int = 0,
    left_logins: bool = True,
    **settings: str,
) -> AsyncIterator[Scene]:
    """`hosts` servers, ready and watched; the first `static` of them as hosts of a file.

    Without `left_logins` nobody knows the passwords of these, and they wait to be set up. Real hosts that boot a
    `prepared` disk are adopted, which takes seconds.
    """
    directory = Path(tempfile.mkdtemp(prefix="lazaret-healing-"))
    directory.chmod(0o755)
    state_dir = None if simulated else directory / "lab"
    lab = Lab(
        name=f"h{os.getpid()}",
        hosts=hosts,
        simulated=simulated,
        state_dir=state_dir,
        rack=prepared.rack(f"h{os.getpid()}", directory) if prepared else None,
    )
    try:
        async with lab:
            environment = lab.environment() | HURRY | {"LAZARET_DATA_DIR": str(directory)} | settings
            if prepared:
                environment["ORCHESTRATOR_SSH_PRIVATE_KEY_PATH"] = str(prepared.key)
            static_ids = frozenset(server.server_id for server in lab.cloud.servers()[:static])
            if static:
                environment |= _as_static(lab, static_ids, directory, left_logins=left_logins)
            async with open_office(load_settings(environment), redactor=Redactor()) as office:
                made = Scene(lab, office, environment, directory / "hosts.yml" if static else None, static_ids)
                made.begin("worker", "monitor")
                try:
                    if left_logins:
                        await made.until_watched(timeout_s=60 + 60 * hosts)
                    yield made
                finally:
                    await made.end()
                    for process in made.processes:
                        if process.returncode is None:
                            process.kill()
                            await process.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _as_static(lab: Lab, static_ids: frozenset[int], directory: Path, *, left_logins: bool) -> dict[str, str]:
    """Some of the lab's hosts in a file; the others stay with the account, if any are left."""
    rows = []
    for server in lab.cloud.servers():
        if server.server_id not in static_ids:
            continue
        row: dict[str, object] = {
            "id": server.server_id,
            "name": server.hostname.partition(".")[0],
            "address": server.address,
            "port": server.ssh_port,
            "managed": True,
        }
        if left_logins:
            (directory / f"password-{server.server_id}").write_text(server.root_password.get_secret_value() + "\n")
            row["first_login"] = {"password_file": f"password-{server.server_id}"}
        rows.append(row)
    (directory / "hosts.yml").write_text(yaml.safe_dump({"hosts": rows}))
    others = [server.server_id for server in lab.cloud.servers() if server.server_id not in static_ids]
    account = {
        "TIME4VPS_MANAGED_SERVER_IDS": ",".join(map(str, others)),
        **({} if others else {"TIME4VPS_LOGIN": "", "TIME4VPS_PASSWORD": ""}),
    }
    return {"LAZARET_STATIC_HOSTS_FILE": str(directory / "hosts.yml"), **account}
