"""The whole engine on real PostgreSQL, with a fake provider, fake machines, and a clock that moves when told to."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from lazaret.alerting.failure import tell_failure
from lazaret.incidents.recorder import record_failure
from lazaret.kernel import audit
from lazaret.kernel.clock import ManualClock
from lazaret.kernel.database import Database
from lazaret.kernel.secrets import Redactor, SecretStore
from lazaret.operations import store
from lazaret.operations.intents import Intents
from lazaret.operations.model import LIVE, Operation, OperationKind, OperationStatus, OperationStep
from lazaret.operations.queue import Queue
from lazaret.operations.reconcile import enqueue_due
from lazaret.operations.runner import Runner
from lazaret.provisioning.context import AccessKey, NoServices, Parts, ServiceRedeployer
from lazaret.provisioning.graph import ProvisioningWorkflow
from lazaret.provisioning.requests import Desk
from lazaret.servers.model import Server
from lazaret.servers.permissions import Permissions
from lazaret.servers.status import ServerStatus
from lazaret.servers.store import get_server, handle_of
from tests.fakes.access import FakeAccess
from tests.fakes.configuration import FakeConfiguration
from tests.fakes.fuse import Crash, Fuse, MortalCheckpoints, MortalDatabase
from tests.fakes.machine import Machine
from tests.fakes.provider import FakeProvider

OPERATOR = audit.Actor("tester", audit.Channel.CLI)
OUR_KEY = "ssh-ed25519 AAAAourkey lazaret"
BASELINE = "v7"
LEASE_S = 12.0
_numbers = itertools.count(900001)


async def add_server(db: Database, machine: Machine, clock: ManualClock, **columns: object) -> str:
    """A managed server row for a machine; returns its handle."""
    now = clock.now()
    row: dict[str, object] = {
        "handle": handle_of("time4vps", machine.server_id),
        "provider": "time4vps",
        "provider_id": machine.server_id,
        "host": f"host-{machine.server_id}",
        "public_ip": machine.address,
        "is_managed": True,
        "status": ServerStatus.PENDING_SETUP.value,
        "status_since": now,
        "created_at": now,
        "updated_at": now,
    }
    async with db.transaction() as session:
        session.add(Server(**{**row, **columns}))
    return handle_of("time4vps", machine.server_id)


@dataclass
class Engine:
    """One server with its machine, and everything that can bring it to `ready`."""

    conninfo: str
    db: Database
    clock: ManualClock
    queue: Queue
    redactor: Redactor
    secrets: SecretStore
    checkpoints: AsyncConnectionPool
    machine: Machine
    provider: FakeProvider
    access: FakeAccess
    configuration: FakeConfiguration
    managed_ids: set[int]
    planted: list[str] = field(default_factory=list)
    redeployer: ServiceRedeployer = field(default_factory=NoServices)

    @property
    def handle(self) -> str:
        return handle_of("time4vps", self.machine.server_id)

    @property
    def desk(self) -> Desk:
        return Desk(Intents(self.queue, permissions=self.permissions, max_attempts=3), self.secrets)

    @property
    def permissions(self) -> Permissions:
        return Permissions({self.provider.name: lambda: self.managed_ids})

    def parts(self) -> Parts:
        return Parts(
            providers={self.provider.name: self.provider},
            access=self.access,
            configuration=self.configuration,
            secrets=self.secrets,
            key=AccessKey(Path("/nowhere/key"), OUR_KEY),
            permissions=self.permissions,
            baseline_version=BASELINE,
            redeployer=self.redeployer,
        )

    def runner(self, db: Database | None = None, fuse: Fuse | None = None) -> Runner:
        saver = MortalCheckpoints(self.checkpoints)  # type: ignore[arg-type]
        saver.fuse = fuse or Fuse()
        workflow = ProvisioningWorkflow(self.parts(), saver)
        workflows = {OperationKind.PROVISION: workflow, OperationKind.REBUILD: workflow}
        listeners = (record_failure, tell_failure)
        return Runner(db or self.db, self.clock, self.redactor, workflows, on_failed=listeners, lease_s=LEASE_S)

    async def provision(self, **wishes: object) -> int:
        async with self.db.transaction() as session:
            made = await self.desk.provision(session, self.handle, OPERATOR, at=self.clock.now(), **wishes)  # type: ignore[arg-type]
            return made.id

    async def rebuild(self, **wishes: object) -> int:
        async with self.db.transaction() as session:
            made = await self.desk.rebuild(session, self.handle, OPERATOR, at=self.clock.now(), **wishes)  # type: ignore[arg-type]
            return made.id

    async def run_once(self, operation_id: int) -> Operation:
        """One run by a healthy worker."""
        await self.runner().run(operation_id)
        return await self.operation(operation_id)

    async def drive(self, operation_id: int) -> Operation:
        """Run and wait, as workers would, until the operation ends or asks for a person."""
        for _ in range(12):
            operation = await self.run_once(operation_id)
            if OperationStatus(operation.status) not in LIVE or operation.status == OperationStatus.WAITING:
                return operation
            self.clock.advance(max(LEASE_S + 1, (operation.due_at - self.clock.now()).total_seconds()))
        raise AssertionError(f"operation {operation_id} never ended; it is {operation.status} in {operation.step}")

    async def crash(self, operation_id: int, at: int) -> Fuse:
        """A run by a worker that dies at this tick; afterwards its lease has run out."""
        fuse = Fuse(at)
        self.provider.fuse = self.access.fuse = self.configuration.fuse = fuse
        with suppress(Crash):
            await self.runner(MortalDatabase(self.db, fuse), fuse).run(operation_id)
        self.provider.fuse = self.access.fuse = self.configuration.fuse = Fuse()
        self.clock.advance(LEASE_S + 1)
        return fuse

    async def look_again(self) -> list[int]:
        """What the reconcile loop does."""
        async with self.queue.open():
            return await enqueue_due(self.db, self.queue, self.clock)

    async def operation(self, operation_id: int) -> Operation:
        async with self.db.transaction() as session:
            return await store.get_operation(session, operation_id)

    async def server(self) -> Server:
        async with self.db.transaction() as session:
            return await get_server(session, self.handle)

    async def steps(self, operation_id: int) -> list[OperationStep]:
        async with self.db.transaction() as session:
            return await store.steps_of(session, operation_id)

    async def route(self, operation_id: int) -> list[str]:
        """The names of the steps that advanced, in order."""
        return [step.name for step in await self.steps(operation_id) if step.status == "advanced"]

    async def stored_passwords(self) -> int:
        async with self.db.transaction() as session:
            found = await self.secrets.get(session, f"server:{self.handle}", "root_password")
        return int(found is not None)

    def rows(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.conninfo) as connection:
            return connection.execute(statement, parameters).fetchall()


def places_with(conninfo: str, planted: Sequence[str]) -> set[str]:
    """Names of the tables in which one of these texts stands in clear, binary columns included."""
    found = set()
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            for row in connection.execute(f'select * from "{table}"').fetchall():
                text = "\n".join(
                    value.decode(errors="replace") if isinstance(value, bytes) else repr(value) for value in row
                )
                if any(secret in text for secret in planted):
                    found.add(table)
    return found


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def checkpoints(conninfo: str) -> AsyncIterator[AsyncConnectionPool]:
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=3, open=False, kwargs=options) as pool:
        yield pool


@pytest.fixture
async def engine(conninfo: str, db: Database, manual_clock: ManualClock, checkpoints: AsyncConnectionPool) -> Engine:
    """A new managed server that waits for its set-up."""
    return await engine_of(conninfo, db, manual_clock, checkpoints)


async def engine_of(conninfo: str, db: Database, clock: ManualClock, checkpoints: AsyncConnectionPool) -> Engine:
    """One more such server in this database."""
    number = next(_numbers)
    machine = Machine(number, f"192.0.2.{number % 250 + 1}")
    redactor = Redactor()
    await add_server(db, machine, clock)
    return Engine(
        conninfo=conninfo,
        db=db,
        clock=clock,
        queue=Queue(conninfo),
        redactor=redactor,
        secrets=SecretStore(SecretStr(Fernet.generate_key().decode()), redactor),
        checkpoints=checkpoints,
        machine=machine,
        provider=FakeProvider(clock, machine),
        access=FakeAccess(machine, our_key=OUR_KEY),
        configuration=FakeConfiguration(machine),
        managed_ids={number},
    )


def later(clock: ManualClock, seconds: float) -> object:
    return clock.now() + timedelta(seconds=seconds)
