"""What a recovery took away it puts back: a firewall that was flushed, whatever helped in the end."""

import pytest

from lazaret.healing.model import RemedyRun
from lazaret.healing.remedy import Remedy
from lazaret.healing.requests import hold
from lazaret.healing.steps.prove import restore
from lazaret.healing.steps.step import Next
from lazaret.operations.outcome import Wait
from tests.healing_scene import OPERATOR
from tests.integration.healing.conftest import ONE, Recovery


@pytest.mark.parametrize(
    ("done", "is_put_back"),
    [
        (["flush_firewall helped"], True),
        (["flush_firewall no_effect"], True),
        (["flush_firewall failed"], False),
        (["flush_firewall no_effect", "reboot helped"], False),
        (["flush_firewall no_effect", "reboot failed"], True),
        (["flush_firewall helped", "provision_again helped"], False),
        (["flush_firewall helped", "provision_again failed"], False),
        (["reboot helped"], False),
        ([], False),
    ],
)
async def test_a_flushed_firewall_is_put_back_once(recovery: Recovery, done: list[str], is_put_back: bool) -> None:
    await _has_done(recovery, *done)
    result = await restore(recovery.ctx, recovery.state)
    assert isinstance(result, Next) and result.to == ("act" if is_put_back else "close"), result
    if is_put_back:
        ladder, rung = result.update["ladder"], result.update["rung"]
        assert ladder[rung]["remedy"] == Remedy.PROVISION_AGAIN and rung >= len(done)


async def test_a_freeze_holds_that_back_as_well(recovery: Recovery) -> None:
    await _has_done(recovery, "flush_firewall helped")
    async with recovery.ctx.run.db.transaction() as session:
        await hold(session, None, OPERATOR, at=recovery.clock.now(), reason="a drill")
    result = await restore(recovery.ctx, recovery.state)
    assert isinstance(result, Wait) and "a drill" in result.why, result


async def _has_done(recovery: Recovery, *done: str) -> None:
    ctx, now = recovery.ctx, recovery.clock.now()
    async with ctx.run.apply() as (session, operation):
        for rung, (remedy, outcome) in enumerate(row.split() for row in done):
            session.add(
                RemedyRun(
                    operation_id=operation.id,
                    incident_id=ctx.incident_id,
                    server_handle=ONE,
                    rung=rung,
                    remedy=remedy,
                    outcome=outcome,
                    begun_at=now,
                    ended_at=now,
                )
            )
    recovery.state["rung"], recovery.state["helped_by"] = len(done), "itself"
