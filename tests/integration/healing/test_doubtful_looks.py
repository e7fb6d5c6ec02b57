"""One look overturns nothing: a recovery whose server hangs up on it, or looks different once, keeps plan and yes."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from lazaret.healing.diagnosis import LOOKS_AT_A_HANG_UP, LOOKS_FOR_OTHER_TROUBLE
from lazaret.healing.model import Approval, Decision, RemedyOutcome
from lazaret.healing.requests import hold
from lazaret.healing.steps.act import act
from lazaret.healing.steps.ask_approval import ask_approval
from lazaret.healing.steps.choose import choose
from lazaret.healing.steps.diagnose import diagnose
from lazaret.healing.steps.prove import prove
from lazaret.healing.steps.step import Next
from lazaret.healing.store import decide
from lazaret.operations.outcome import Wait
from lazaret.servers.access import AccessError, HostKeyChanged, HungUp, LoginRefused, NoBanner
from tests.healing_scene import OPERATOR
from tests.integration.healing.conftest import ONE, Recovery, leads_on, reading

HUNG_UP, REFUSED = HungUp("It hangs up."), LoginRefused("It does not take our key.")
STRANGER, HUNG = HostKeyChanged("Another key."), NoBanner("Nothing comes.")


async def _approve(recovery: Recovery) -> None:
    recovery.sees(REFUSED)
    await ask_approval(recovery.ctx, recovery.state)
    async with recovery.ctx.run.db.transaction() as session:
        (approval,) = await session.scalars(select(Approval))
        decide(approval, Decision.APPROVED, "a person", at=recovery.clock.now())


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


@pytest.mark.parametrize(("hours", "to"), [(11, "act"), (12, "hand_over")])
async def test_a_yes_that_was_held_back_for_long_is_none_any_more(recovery: Recovery, hours: int, to: str) -> None:
    await _approve(recovery)
    now = recovery.clock.now()
    async with recovery.ctx.run.db.transaction() as session:
        await hold(session, ONE, OPERATOR, at=now, reason="being moved", until=now + timedelta(hours=hours))
    result = await ask_approval(recovery.ctx, recovery.state)
    assert isinstance(result, Wait) and "being moved" in result.why, result
    await recovery.clock.sleep(hours * 3600)
    result = await ask_approval(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == to, result
    assert recovery.provider.journal == []


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
    await recovery.has_begun("reboot")
    # A reboot has 180 s, with a look every two: the last one is hung up on.
    recovery.sees(*[REFUSED] * 90, HUNG_UP, REFUSED)
    result = await prove(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "choose", result


async def test_a_call_that_was_announced_long_ago_is_not_made_for_other_trouble(recovery: Recovery) -> None:
    await recovery.has_begun("reboot")
    recovery.sees(STRANGER)
    result = await act(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "choose", result
    assert recovery.provider.journal == []
    assert await recovery.begun() == [f"reboot {RemedyOutcome.NOT_NEEDED}"]


async def test_a_call_that_was_announced_is_made_although_the_server_hung_up_once(recovery: Recovery) -> None:
    await _approve(recovery)
    await recovery.has_begun("reboot")
    recovery.sees(HUNG_UP, REFUSED)
    result = await act(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == "prove", result
    assert len(recovery.provider.journal) == 1


@pytest.mark.parametrize(("hours", "calls"), [(11, 1), (13, 0)])
async def test_a_call_that_was_announced_is_not_made_on_a_yes_that_has_grown_old(
    recovery: Recovery, hours: int, calls: int
) -> None:
    await _approve(recovery)
    await recovery.has_begun("reboot")
    await recovery.clock.sleep(hours * 3600)
    result = await act(recovery.ctx, recovery.state)
    assert leads_on("act", result, "prove" if calls else "hand_over"), result
    assert len(recovery.provider.journal) == calls
    assert await recovery.begun() == [f"reboot {RemedyOutcome.BEGUN if calls else RemedyOutcome.FAILED}"]


@pytest.mark.parametrize(("docker", "to"), [(True, "prove"), (False, None)])
async def test_a_command_that_was_begun_long_ago_is_not_run_where_all_is_well_or_held(
    recovery: Recovery, docker: bool, to: str | None
) -> None:
    recovery.state["condition"] = "docker_down"
    recovery.state["ladder"][0]["remedy"] = "restart_docker"
    await recovery.has_begun("restart_docker")
    async with recovery.ctx.run.db.transaction() as session:
        await hold(session, ONE, OPERATOR, at=recovery.clock.now(), reason="being moved")
    recovery.sees(reading(recovery.clock, docker=docker))
    result = await act(recovery.ctx, recovery.state)
    if to is None:
        assert isinstance(result, Wait) and "being moved" in result.why, result
    else:
        assert isinstance(result, Next) and result.to == to, result
