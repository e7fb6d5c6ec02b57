"""One look overturns nothing: a recovery whose server hangs up on it, or looks different once, keeps plan and yes.

Real tables, a clock that moves by itself, and eyes that see what a test says.
"""

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
from lazaret.healing.diagnosis import LOOKS_AT_A_HANG_UP, LOOKS_FOR_OTHER_TROUBLE
from lazaret.healing.model import Approval, Decision, RemedyOutcome, RemedyRun
from lazaret.healing.state import PlannedStep, RecoveryState
from lazaret.healing.steps.act import act
from lazaret.healing.steps.ask_approval import ask_approval
from lazaret.healing.steps.choose import choose
from lazaret.healing.steps.diagnose import diagnose
from lazaret.healing.steps.prove import prove
from lazaret.healing.steps.step import Next
from lazaret.incidents.model import IncidentType
from lazaret.incidents.store import open_incident
from lazaret.kernel import audit
from lazaret.kernel.clock import ManualClock
from lazaret.operations.intents import Intent
from lazaret.operations.model import OperationKind, OperationStatus
from lazaret.operations.run import OperationRun
from lazaret.provisioning.context import AccessKey, Parts
from lazaret.servers.access import AccessError, HostKeyChanged, HungUp, LoginRefused, NoBanner, PortState
from lazaret.servers.permissions import Permissions
from tests.fakes.access import FakeAccess
from tests.fakes.configuration import FakeConfiguration
from tests.fakes.machine import Machine
from tests.fakes.provider import FakeProvider
from tests.integration.rows import add_server

ONE = "vps-1"
HUNG_UP, REFUSED = HungUp("It hangs up."), LoginRefused("It does not take our key.")
STRANGER, HUNG = HostKeyChanged("Another key."), NoBanner("Nothing comes.")


@dataclass
class Eyes:
    """Every fresh login meets the next of `seen`; the last one stays."""

    seen: list[AccessError] = field(default_factory=list)
    looks: int = 0

    @asynccontextmanager
    async def open(self, *_: object, **__: object) -> AsyncIterator[Any]:
        self.looks += 1
        raise self.seen.pop(0) if len(self.seen) > 1 else self.seen[0]
        yield


class OpenPort(FakeAccess):
    async def probe_port(self, address: str, port: int, *, timeout_s: float = 3) -> PortState:
        return PortState.OPEN


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

    def sees(self, *seen: AccessError) -> None:
        self.eyes.seen, self.eyes.looks = list(seen), 0

    async def approvals(self) -> Sequence[Approval]:
        async with self.ctx.run.db.transaction() as session:
            return list(await session.scalars(select(Approval)))

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
        helped_by="",
        because="",
        recovery_result={},
    )
    ctx = HealingContext(run, HealingParts(parts, eyes), incident_id, NoWorkflow())  # type: ignore[arg-type]
    return Recovery(ctx, eyes, clock, provider, state)


async def _approve(recovery: Recovery) -> None:
    recovery.sees(REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    async with recovery.ctx.run.db.transaction() as session:
        (approval,) = await session.scalars(select(Approval))
        approval.decision, approval.decided_by = Decision.APPROVED.value, "a person"


@pytest.mark.parametrize("passing", [[HUNG_UP] * 5, [STRANGER, HUNG_UP], [HUNG, HUNG]])
async def test_what_passes_withdraws_no_yes(recovery: Recovery, passing: list[AccessError]) -> None:
    await _approve(recovery)
    recovery.sees(*passing, REFUSED)
    result = await ask_approval(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "act", result


@pytest.mark.parametrize(("lasting", "looks"), [(HUNG_UP, LOOKS_AT_A_HANG_UP), (STRANGER, LOOKS_FOR_OTHER_TROUBLE)])
async def test_a_yes_is_not_for_other_trouble_that_stays(recovery: Recovery, lasting: AccessError, looks: int) -> None:
    await _approve(recovery)
    recovery.sees(lasting)
    result = await ask_approval(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "diagnose", result
    assert recovery.eyes.looks == looks
    assert sum(recovery.clock.slept_s) <= 30, "bounded"


async def test_a_question_stays_open_while_the_server_hangs_up_for_a_moment(recovery: Recovery) -> None:
    recovery.sees(REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    recovery.sees(HUNG_UP, HUNG_UP, REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    assert [row.decision for row in await recovery.approvals()] == [None]


async def test_the_ladder_is_climbed_on_after_a_hang_up(recovery: Recovery) -> None:
    recovery.sees(HUNG_UP, REFUSED)
    result = await choose(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "ask_approval", result


async def test_a_hang_up_is_no_diagnosis(recovery: Recovery) -> None:
    recovery.sees(HUNG_UP, HUNG_UP, REFUSED)
    result = await diagnose(recovery.ctx, recovery.state)
    assert isinstance(result, Next)
    assert [step["remedy"] for step in result.update["ladder"]] == ["provision_again", "reinstall", "human"]


async def test_the_last_look_after_a_remedy_is_no_diagnosis_either(recovery: Recovery) -> None:
    await _begin(recovery)
    # A reboot has 180 s, with a look every two: the last one is hung up on.
    recovery.sees(*[REFUSED] * 90, HUNG_UP, REFUSED)
    result = await prove(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "choose", result


async def _begin(recovery: Recovery) -> None:
    """As a worker leaves it that died right before the call."""
    async with recovery.ctx.run.apply() as (session, operation):
        session.add(
            RemedyRun(
                operation_id=operation.id,
                incident_id=recovery.ctx.incident_id,
                server_handle=ONE,
                rung=0,
                remedy="reboot",
                begun_at=recovery.clock.now() - timedelta(minutes=5),
            )
        )


async def test_a_call_that_was_announced_long_ago_is_not_made_for_other_trouble(recovery: Recovery) -> None:
    await _begin(recovery)
    recovery.sees(STRANGER)
    result = await act(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "choose", result
    assert recovery.provider.journal == []
    assert await recovery.begun() == [f"reboot {RemedyOutcome.NOT_NEEDED}"]


async def test_a_call_that_was_announced_is_made_although_the_server_hung_up_once(recovery: Recovery) -> None:
    await _begin(recovery)
    recovery.sees(HUNG_UP, REFUSED)
    result = await act(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "prove", result
    assert len(recovery.provider.journal) == 1
