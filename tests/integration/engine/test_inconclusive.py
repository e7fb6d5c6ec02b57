"""An operation whose end cannot be written down as it was ends all the same, and says so."""

from datetime import datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.failure import tell_failure
from lazaret.incidents.recorder import record_failure
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.outcome import Done, GiveUp, Outcome, Wait
from lazaret.operations.run import OperationRun, UnexpectedFailure
from lazaret.operations.runner import FailureListener, Runner
from lazaret.servers.status import ServerStatus
from tests.integration.engine.conftest import LEASE_S, Engine


class Ends:
    """Fulfils `Workflow`."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome, self.runs = outcome, 0

    async def advance(self, _: OperationRun) -> Outcome:
        self.runs += 1
        return self.outcome


async def _fails_in_the_database(session: AsyncSession, operation: Operation, _: datetime) -> None:
    operation.hint = "changed on the way"
    await session.execute(text("select 1/0"))


async def _end(engine: Engine, outcome: Outcome, *listeners: FailureListener) -> Operation:
    """Run it as workers would for as long as it is not over."""
    workflow = Ends(outcome)
    kinds = {OperationKind.REBUILD: workflow}
    runner = Runner(engine.db, engine.clock, engine.redactor, kinds, on_failed=listeners, lease_s=LEASE_S)
    operation_id = await engine.rebuild()
    await runner.run(operation_id)
    assert workflow.runs == 1
    return await engine.operation(operation_id)


async def test_a_result_that_no_table_can_hold_is_kept_with_a_mark(engine: Engine) -> None:
    operation = await _end(engine, Done("done", result={"logs": ["GET /\x00", "\udc80"]}))
    assert (operation.status, operation.result) == (OperationStatus.SUCCEEDED, {"logs": ["GET /\ufffd", "\ufffd"]})


UNWRITABLE = [Done("done", result={"load": float("nan")}), Wait("why", asks_for="\x00")]


@pytest.mark.parametrize("outcome", UNWRITABLE, ids=["no JSON", "no text"])
async def test_an_end_that_cannot_be_written_down_is_a_failure(engine: Engine, outcome: Outcome) -> None:
    operation = await _end(engine, outcome, record_failure, tell_failure)
    assert (operation.status, operation.error_code, operation.lease) == (OperationStatus.FAILED, "inconclusive", None)
    assert operation.error is not None and operation.error.startswith("How it ended could not be written down: ")
    assert "SQL" not in operation.error.replace("PostgreSQL", "")
    assert (await engine.server()).status == ServerStatus.ERROR
    assert engine.rows("select details ->> 'error_code' from incidents") == [("inconclusive",)]
    assert len(engine.rows("select 1 from outbox")) == 1


async def test_what_follows_from_a_failure_and_cannot_be_written_down_keeps_nothing_else_from_it(
    engine: Engine,
) -> None:
    failure = GiveUp(UnexpectedFailure("no way"))
    operation = await _end(engine, failure, _fails_in_the_database, record_failure, tell_failure)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "inconclusive")
    assert operation.hint == "The log has the details."
    assert engine.rows("select details ->> 'error_code' from incidents") == [("inconclusive",)]
    assert len(engine.rows("select 1 from outbox")) == 1
