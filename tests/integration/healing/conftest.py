"""One recovery in a worker's hands, on real tables: eyes that see what a test says, a clock that moves by itself."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from lazaret.entrypoints.office import Office
from lazaret.healing.context import HealingContext, HealingParts
from lazaret.healing.graph import NODES
from lazaret.healing.model import Approval, RemedyRun
from lazaret.healing.state import PlannedStep, RecoveryState
from lazaret.healing.steps.step import Next
from lazaret.incidents.model import IncidentType
from lazaret.incidents.store import open_incident
from lazaret.kernel import audit
from lazaret.kernel.clock import ManualClock
from lazaret.operations.intents import Intent
from lazaret.operations.model import OperationKind, OperationStatus
from lazaret.operations.run import OperationRun
from lazaret.probing.reading import DockerState, FullReading, Reading
from lazaret.provisioning.context import AccessKey, Parts
from lazaret.servers.access import AccessError, PortState
from lazaret.servers.permissions import Permissions
from tests.fakes.access import FakeAccess
from tests.fakes.configuration import FakeConfiguration
from tests.fakes.machine import Machine
from tests.fakes.provider import FakeProvider
from tests.integration.rows import add_server

ONE = "vps-1"


def reading(clock: ManualClock, *, docker: bool) -> Reading:
    """What a login shows of a server that is well, but for its Docker."""
    full = FullReading("m", {}, DockerState(docker), True, (), False, "")
    return Reading(clock.now(), "b", 9000.0, 0.1, 4000, 2000, 0.0, full)


@dataclass
class Eyes:
    """Every fresh login meets the next of `seen`; the last one stays."""

    seen: list[AccessError | Reading] = field(default_factory=list)
    looks: int = 0

    @asynccontextmanager
    async def open(self, *_: object, **__: object) -> AsyncIterator[AsyncIterator[Reading]]:
        self.looks += 1
        met = self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        if isinstance(met, AccessError):
            raise met
        yield _once(met)


async def _once(reading: Reading) -> AsyncIterator[Reading]:
    yield reading


class OpenPort(FakeAccess):
    async def probe_port(self, address: str, port: int, *, timeout_s: float = 3) -> PortState:
        return PortState.OPEN


def leads_on(node: str, result: object, to: str) -> bool:
    """Whether a step of that name went there, by a way that the graph has."""
    (routes,) = [one.routes for one in NODES if one.name == node]
    assert to in routes, f"{node} has no route to {to}"
    return isinstance(result, Next) and result.to == to


class NoWorkflow:
    async def advance(self, run: OperationRun) -> Any:
        raise AssertionError("nothing is to be set up")


@dataclass
class Recovery:
    """One recovery of a server that refuses our key, in the hands of a worker."""

    ctx: HealingContext
    eyes: Eyes
    clock: ManualClock
    provider: FakeProvider
    state: RecoveryState

    def sees(self, *seen: AccessError | Reading) -> None:
        self.eyes.seen, self.eyes.looks = list(seen), 0

    async def approvals(self) -> Sequence[Approval]:
        async with self.ctx.run.db.transaction() as session:
            return list(await session.scalars(select(Approval)))

    async def has_begun(self, remedy: str) -> None:
        """As a worker leaves it that died right before the act, minutes ago."""
        async with self.ctx.run.apply() as (session, operation):
            session.add(
                RemedyRun(
                    operation_id=operation.id,
                    incident_id=self.ctx.incident_id,
                    server_handle=ONE,
                    rung=0,
                    remedy=remedy,
                    begun_at=self.clock.now() - timedelta(minutes=5),
                )
            )

    async def begun(self) -> list[str]:
        async with self.ctx.run.db.transaction() as session:
            rows = await session.scalars(select(RemedyRun).order_by(RemedyRun.id))
            return [f"{row.remedy} {row.outcome}" for row in rows]


@pytest.fixture
async def recovery(office: Office) -> Recovery:
    clock, eyes = ManualClock(), Eyes()
    now = clock.now()
    async with office.db.transaction() as session:
        server = await add_server(session, ONE, at=now)
        server.host_keys = ["ssh-ed25519 AAAA"]
        machine = Machine(server.provider_id, server.public_ip or "")
        incident, _ = await open_incident(
            session, ONE, IncidentType.SERVER_UNREACHABLE, audit.MONITOR, at=now, cause="login_refused"
        )
        params = {"incident_id": incident.id}
        intent = Intent(OperationKind.RECOVER, audit.MONITOR, "lost", params=params, max_attempts=30)
        operation = await office.intents.recover(session, ONE, intent, at=now)
        operation.status, operation.lease = OperationStatus.RUNNING.value, "ours"
        operation_id, incident_id = operation.id, incident.id
    provider = FakeProvider(clock, machine)
    parts = Parts(
        providers={"time4vps": provider},
        access=OpenPort(machine, our_key="ours"),
        configuration=FakeConfiguration(machine),
        secrets=office.secrets,
        key=AccessKey(Path("/nowhere/key"), "ours"),
        permissions=Permissions({"time4vps": lambda: {machine.server_id}}),
    )
    run = OperationRun(operation_id, ONE, "ours", 1, office.db, clock, office.redactor)
    ladder: list[PlannedStep] = [
        {"remedy": "reboot", "needs_approval": True, "because": "A person decides."},
        {"remedy": "human", "needs_approval": False, "because": "Nothing is left."},
    ]
    state = RecoveryState(
        operation_id=operation_id,
        server_to_provision=ONE,
        is_incident_recovery=True,
        incident_id=incident_id,
        condition="login_refused",
        ladder=ladder,
        rung=0,
        looked_at="",
        can_log_in=False,
        cleared_at="",
        helped_by="",
        because="",
        recovery_result={},
    )
    ctx = HealingContext(run, HealingParts(parts, eyes), incident_id, NoWorkflow())  # type: ignore[arg-type]
    return Recovery(ctx, eyes, clock, provider, state)
