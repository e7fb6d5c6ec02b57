"""Room for recoveries is taken by those that are at work, and by nobody who waits for a person."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from lazaret.alerting.model import OutboxMessage
from lazaret.healing.store import recoveries_in_flight
from lazaret.operations.model import OperationStatus
from lazaret.operations.outcome import GiveUp, Wait
from lazaret.provisioning.steps.reset_password import ask_for_password
from tests.integration.healing.conftest import Recovery


@pytest.mark.parametrize(
    ("status", "takes_room"),
    [(OperationStatus.RUNNING, 1), (OperationStatus.QUEUED, 1), (OperationStatus.WAITING, 0)],
)
async def test_who_waits_for_a_password_holds_no_other_server_back(
    recovery: Recovery, status: OperationStatus, takes_room: int
) -> None:
    """For a day nobody may give one, and three such servers would have been all that is ever healed at once."""
    await recovery.has_begun("provision_again")
    async with recovery.ctx.run.apply() as (session, operation):
        operation.status, operation.waiting_for = status.value, "root_password"
        await session.flush()
        assert await recoveries_in_flight(session, except_operation=operation.id + 1) == takes_room


async def test_each_rung_that_asks_for_a_password_has_a_question_and_a_day_of_its_own(recovery: Recovery) -> None:
    """Else a reinstall would erase the data and give up at once, for the rung before it was not answered."""
    first, second = (replace(recovery.ctx.steps, run=replace(recovery.ctx.run, scope=f"rung{n}")) for n in (0, 1))
    for _ in range(2):
        assert isinstance(await ask_for_password(first, "No password."), Wait)
    await recovery.clock.sleep(25 * 3600)
    assert isinstance(await ask_for_password(first, "No password."), GiveUp)
    assert isinstance(await ask_for_password(second, "No password."), Wait)
    async with recovery.ctx.run.db.transaction() as session:
        told = list(await session.scalars(select(OutboxMessage.incident_id)))
    assert told == [recovery.ctx.incident_id] * 2
