"""Room for recoveries is taken by those that are at work, and by nobody who waits for a person."""

import pytest

from lazaret.healing.store import recoveries_in_flight
from lazaret.operations.model import OperationStatus
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
