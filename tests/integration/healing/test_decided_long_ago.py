"""What was decided before a wait, a crash or another's act counts only as far as it is still true: nothing is erased,
and nothing done, on the word of what was."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from lazaret.healing.model import Approval, Decision, RemedyOutcome
from lazaret.healing.requests import hold, lift
from lazaret.healing.steps.act import act
from lazaret.healing.steps.ask_approval import ask_approval
from lazaret.healing.steps.choose import choose
from lazaret.healing.steps.diagnose import diagnose
from lazaret.healing.steps.prove import prove, restore
from lazaret.healing.steps.room import CLEARED_S
from lazaret.healing.store import decide, end_remedy
from lazaret.healing.trigger import withdraw_recovery
from lazaret.healing.wishes import NO_RUNG, WishKind
from lazaret.incidents.model import UNPROVED
from lazaret.incidents.store import get_incident
from lazaret.operations.model import OperationStatus
from lazaret.operations.outcome import HELD_BACK, Wait
from lazaret.operations.run import run_step
from lazaret.operations.store import get_operation
from lazaret.provisioning.context import NoServices
from lazaret.servers.access import HostKeyChanged, LoginRefused
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability
from lazaret.servers.store import get_server
from tests.healing_scene import OPERATOR
from tests.integration.healing.conftest import ONE, Recovery, leads_on, reading

REFUSED, STRANGER = LoginRefused("It does not take our key."), HostKeyChanged("Another key.")


async def _may(recovery: Recovery, policy: RebuildPolicy) -> None:
    async with recovery.ctx.run.db.transaction() as session:
        (await get_server(session, ONE)).rebuild_policy = policy.value


def _plan(recovery: Recovery, remedy: str, *, asks: bool = False) -> None:
    recovery.state["ladder"][0] = {"remedy": remedy, "needs_approval": asks, "because": "So it was planned."}


async def _say_yes(recovery: Recovery) -> None:
    async with recovery.ctx.run.db.transaction() as session:
        for approval in await session.scalars(select(Approval)):
            decide(approval, Decision.APPROVED, "a person", at=recovery.clock.now())


# --- what is erased


@pytest.mark.parametrize(("policy", "to"), [(RebuildPolicy.NEVER, "hand_over"), (RebuildPolicy.ASK, "ask_approval")])
async def test_a_planned_reinstall_follows_the_policy_of_now(
    recovery: Recovery, policy: RebuildPolicy, to: str
) -> None:
    _plan(recovery, "reinstall")
    await _may(recovery, policy)
    recovery.sees(REFUSED)
    assert leads_on("choose", await choose(recovery.ctx, recovery.state), to)


async def test_a_yes_to_a_reinstall_does_not_outlive_the_word_never(recovery: Recovery) -> None:
    _plan(recovery, "reinstall", asks=True)
    recovery.sees(REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    await _say_yes(recovery)
    await _may(recovery, RebuildPolicy.NEVER)
    assert leads_on("ask_approval", await ask_approval(recovery.ctx, recovery.state), "hand_over")


async def test_a_reinstall_that_needed_no_yes_needs_one_when_the_monitor_sees_the_server_well(
    recovery: Recovery,
) -> None:
    _plan(recovery, "reinstall")
    await _may(recovery, RebuildPolicy.AUTO)
    recovery.sees(REFUSED)
    assert leads_on("choose", await choose(recovery.ctx, recovery.state), "ask_approval"), "no living monitor agrees"


async def test_a_reinstall_that_was_announced_is_not_sent_without_the_yes_that_it_needs_now(recovery: Recovery) -> None:
    _plan(recovery, "reinstall")
    await _may(recovery, RebuildPolicy.ASK)
    await recovery.has_begun("reinstall")
    recovery.sees(REFUSED)
    assert leads_on("act", await act(recovery.ctx, recovery.state), "hand_over")
    assert await recovery.begun() == [f"reinstall {RemedyOutcome.FAILED}"]


# --- what a yes was for


async def test_a_yes_is_for_the_remedy_that_was_asked_about(recovery: Recovery) -> None:
    recovery.sees(REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    await _say_yes(recovery)
    _plan(recovery, "reinstall", asks=True)
    assert leads_on("ask_approval", await ask_approval(recovery.ctx, recovery.state), "hand_over")


async def test_a_new_plan_has_rungs_of_its_own(recovery: Recovery) -> None:
    recovery.sees(REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    await _say_yes(recovery)
    recovery.sees(STRANGER)
    chosen: Any = await choose(recovery.ctx, recovery.state)
    assert leads_on("choose", chosen, "diagnose")
    recovery.sees(REFUSED)
    planned: Any = await diagnose(recovery.ctx, {**recovery.state, **chosen.update})
    assert planned.update["rung"] == 1, "the answered question stays with the rung that it was about"


async def test_the_wish_that_a_recovery_came_from_says_nothing_of_its_rungs(recovery: Recovery) -> None:
    now = recovery.clock.now()
    async with recovery.ctx.run.db.transaction() as session:
        session.add(
            Approval(
                operation_id=recovery.ctx.run.operation_id,
                server_handle=ONE,
                rung=NO_RUNG,
                remedy=WishKind.RECOVER,
                wish={"reason": "it is lost"},
                why="A robot asks.",
                asked_at=now,
                expires_at=now,
                decision=Decision.APPROVED,
                decided_at=now,
            )
        )
    recovery.sees(REFUSED)
    assert leads_on("choose", await choose(recovery.ctx, recovery.state), "ask_approval"), "the rung asks for itself"
    await ask_approval(recovery.ctx, recovery.state)
    assert [row.remedy for row in await recovery.approvals()] == [WishKind.RECOVER, "reboot"]


# --- a worker that was away


@pytest.mark.parametrize(("away_s", "to"), [(1, "prove"), (CLEARED_S + 1, "choose")])
async def test_a_rung_is_not_begun_on_a_look_of_long_ago(recovery: Recovery, away_s: float, to: str) -> None:
    _plan(recovery, "reboot")
    recovery.sees(REFUSED)
    chosen: Any = await choose(recovery.ctx, recovery.state)
    assert leads_on("choose", chosen, "act")
    await recovery.clock.sleep(away_s)
    assert leads_on("act", await act(recovery.ctx, {**recovery.state, **chosen.update}), to)
    assert len(recovery.provider.journal) == (1 if to == "prove" else 0)
    assert await recovery.begun() == (["reboot begun"] if to == "prove" else [])


# --- somebody else at work


async def test_a_task_of_somebody_else_is_waited_for_with_eyes_open(recovery: Recovery) -> None:
    _plan(recovery, "reboot")
    recovery.sees(REFUSED)
    chosen: Any = await choose(recovery.ctx, recovery.state)
    await recovery.provider.flush_firewall(next(iter(recovery.provider.machines)))  # in the provider's own panel
    result = await act(recovery.ctx, {**recovery.state, **chosen.update})
    assert isinstance(result, Wait) and "busy" in result.why and result.asks_for == HELD_BACK, result
    assert await recovery.begun() == ["reboot begun"], "no try of the rung is used up"
    recovery.sees(reading(recovery.clock, docker=True))
    assert leads_on("act", await act(recovery.ctx, recovery.state), "restore"), "what they did has helped"
    assert [action for action, _ in recovery.provider.journal] == [Capability.FLUSH_FIREWALL], "no reboot of ours"


async def test_a_hold_in_the_middle_of_a_rung_is_no_failure_of_it(recovery: Recovery) -> None:
    _plan(recovery, "reboot")
    recovery.sees(REFUSED)
    chosen: Any = await choose(recovery.ctx, recovery.state)
    state = {**recovery.state, **chosen.update}
    now = recovery.clock.now()
    async with recovery.ctx.run.db.transaction() as session:
        await hold(session, ONE, OPERATOR, at=now, reason="being moved", until=now + timedelta(minutes=5))

    async def step() -> Any:
        return await act(recovery.ctx, state)  # type: ignore[arg-type]

    result = await run_step(recovery.ctx.run, "act", step, deadline_s=60)
    assert isinstance(result, Wait) and result.asks_for == HELD_BACK and "being moved" in result.why, result
    assert await recovery.begun() == ["reboot begun"]
    await recovery.clock.sleep(301)
    assert leads_on("act", await act(recovery.ctx, state), "prove")  # type: ignore[arg-type]
    assert len(recovery.provider.journal) == 1


async def test_a_set_up_that_touched_nothing_yet_looks_again(recovery: Recovery) -> None:
    _plan(recovery, "provision_again")
    await recovery.has_begun("provision_again")
    recovery.sees(reading(recovery.clock, docker=True))
    assert leads_on("act", await act(recovery.ctx, recovery.state), "restore")
    assert await recovery.begun() == [f"provision_again {RemedyOutcome.NOT_NEEDED}"]


async def test_the_end_of_a_hold_wakes_what_it_held_back(recovery: Recovery) -> None:
    now = recovery.clock.now()
    run = recovery.ctx.run
    async with run.db.transaction() as session:
        held = await hold(session, ONE, OPERATOR, at=now, reason="being moved")
        operation = await get_operation(session, run.operation_id)
        operation.status, operation.waiting_for = OperationStatus.WAITING.value, HELD_BACK
        operation.waiting_until = now + timedelta(minutes=5)
    async with run.db.transaction() as session:
        await lift(session, held.id, OPERATOR, at=now)
    async with run.db.transaction() as session:
        assert (await get_operation(session, run.operation_id)).waiting_until == now


@pytest.mark.parametrize(("step", "outcome", "kept"), [
    ("restore", "helped", True), ("choose", "helped", False), ("restore", "not_needed", False)
])  # fmt: skip
async def test_what_waits_to_be_put_back_is_not_withdrawn_when_the_monitor_sees_the_server_well(
    recovery: Recovery, step: str, outcome: str, kept: bool
) -> None:
    await recovery.has_begun("reboot")
    run, now = recovery.ctx.run, recovery.clock.now()
    async with run.db.transaction() as session:
        await end_remedy(session, run.operation_id, 0, RemedyOutcome(outcome), "", at=now)
        operation = await get_operation(session, run.operation_id, for_update=True)
        operation.status, operation.step = OperationStatus.WAITING.value, step
        incident = await get_incident(session, recovery.ctx.incident_id)
        assert await withdraw_recovery(session, operation, incident, at=now) is not kept
    async with run.db.transaction() as session:
        status = (await get_operation(session, run.operation_id)).status
        assert status == (OperationStatus.WAITING if kept else OperationStatus.CANCELLED)


# --- what answers and is not in order


async def test_a_remedy_that_helps_does_not_make_up_for_a_set_up_that_was_not_proved(recovery: Recovery) -> None:
    await recovery.has_begun("reboot")
    async with recovery.ctx.run.db.transaction() as session:
        (await get_incident(session, recovery.ctx.incident_id)).details = {UNPROVED: True}
    recovery.sees(reading(recovery.clock, docker=True))
    assert leads_on("prove", await prove(recovery.ctx, recovery.state), "hand_over")


class Services(NoServices):
    """There are some, and nobody may touch them."""

    async def has_services(self, *_: object) -> bool:
        return True

    async def redeploy(self, *_: object) -> list[str]:
        raise AssertionError("a held server is left alone")


@pytest.mark.parametrize("managed", [True, False])
async def test_services_are_not_brought_back_against_a_hold_or_the_list(recovery: Recovery, managed: bool) -> None:
    object.__setattr__(recovery.ctx.parts.provisioning, "redeployer", Services())
    async with recovery.ctx.run.db.transaction() as session:
        if managed:
            await hold(session, ONE, OPERATOR, at=recovery.clock.now(), reason="being moved")
        else:
            (await get_server(session, ONE)).is_managed = False
    result = await restore(recovery.ctx, recovery.state)
    if managed:
        assert isinstance(result, Wait) and "being moved" in result.why, result
    else:
        assert leads_on("restore", result, "close")
