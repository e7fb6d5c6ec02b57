"""One run of an operation by one worker: what steps may know of it, and the lease without which nothing is written."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database, is_away
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.logging import get_logger
from lazaret.kernel.secrets import Redactor
from lazaret.operations import store
from lazaret.operations.model import Operation, OperationStep
from lazaret.operations.outcome import HELD_BACK, Advance, Done, GiveUp, Outcome, Retry, Wait
from lazaret.servers.guard import OnHold
from lazaret.servers.provider import ProviderThrottled

logger = get_logger(__name__)


HELD = timedelta(minutes=5)
"""An operation on a server that is held looks again so often; the end of the hold wakes it."""


class StepTimeout(LazaretError):
    """A step did not end within its deadline."""

    code = "step_timeout"
    retryable = True


class UnexpectedFailure(LazaretError):
    """A step failed in a way that its author did not foresee; the log has the traceback."""

    code = "unexpected_failure"
    retryable = True


@dataclass(frozen=True, slots=True)
class OperationRun:
    """What a workflow gets. `lease` is the proof that the operation is ours."""

    operation_id: int
    handle: str
    lease: str
    attempt: int
    db: Database
    clock: Clock
    redactor: Redactor
    trace: Mapping[str, Any] = field(default_factory=dict)
    """What stands in every log line of this run."""
    scope: str = ""
    """Names a part of the operation whose calls to the provider and whose checkpoints are its own."""

    @asynccontextmanager
    async def apply(self) -> AsyncIterator[tuple[AsyncSession, Operation]]:
        """A short transaction that commits only while the lease is ours; else `LeaseLost`."""
        async with self.db.transaction() as session:
            operation = await store.lock_leased(session, self.operation_id, self.lease)
            yield session, operation

    async def note(self, message: str, *, step: str = "", kind: str = "note", **data: Any) -> None:
        """One line in the operation's live log, with every known secret taken out."""
        clean = self.redactor.clean_value(data)
        async with self.apply() as (session, operation):
            await store.add_event(
                session,
                operation,
                kind,
                self.redactor.clean(message),
                at=self.clock.now(),
                step=step or operation.step,
                data=clean,
            )


class Workflow(Protocol):
    """What is done for one kind of operation. Resumes where it stopped, from the tables and its checkpoint."""

    async def advance(self, run: OperationRun) -> Outcome:
        """Go as far as possible; `Advance` is never returned. `LeaseLost` may be raised."""
        ...


async def run_step(
    run: OperationRun, name: str, action: Callable[[], Awaitable[Outcome]], *, deadline_s: float
) -> Outcome:
    """Run one step with its deadline and record how it went. Errors become outcomes; `LeaseLost` goes through."""
    step_id = await _begin_step(run, name, deadline_s)
    try:
        async with asyncio.timeout(deadline_s) as deadline:
            outcome = await action()
    except store.LeaseLost:
        raise
    except Exception as error:
        if is_away(error):
            raise  # says nothing of the step; whoever takes the operation over runs it again
        outcome = _outcome_of(run, name, error, deadline_s=deadline_s if deadline.expired() else None)
    await _end_step(run, step_id, name, outcome)
    return outcome


def _outcome_of(run: OperationRun, name: str, error: Exception, *, deadline_s: float | None) -> Outcome:
    """What an exception of a step means; `deadline_s` is given when its own deadline ended it."""
    match error:
        case TimeoutError() if deadline_s is not None:
            text = f"The step {name} took longer than {deadline_s:.0f} s."
            return Retry(StepTimeout(text, hint="It will be retried."))
        case ProviderThrottled(wait_s=wait_s):
            return Retry(error, after_s=wait_s)
        case OnHold():
            return until_released(run, error)
        case LazaretError():
            return Retry(error) if error.retryable else GiveUp(error)
    logger.error("step.failed", operation=run.operation_id, step=name, exc_info=error)
    message = run.redactor.clean(f"{type(error).__name__}: {error}")[:300]
    return Retry(UnexpectedFailure(f"The step {name} failed: {message}", hint="The log has the details."))


def until_released(run: OperationRun, held: OnHold) -> Wait:
    """The wait for the end of a hold."""
    return Wait(str(held), asks_for=HELD_BACK, until=run.clock.now() + HELD)


async def _begin_step(run: OperationRun, name: str, deadline_s: float) -> int:
    now = run.clock.now()
    async with run.apply() as (session, operation):
        operation.step = name
        step = OperationStep(
            operation_id=run.operation_id,
            name=name,
            attempt=operation.attempt,
            status="running",
            started_at=now,
            deadline_at=now + timedelta(seconds=deadline_s),
        )
        session.add(step)
        await session.flush()
        await store.add_event(session, operation, "step", "started", at=now, step=name, data={"state": "running"})
        return step.id


async def _end_step(run: OperationRun, step_id: int, name: str, outcome: Outcome) -> None:
    status, detail, error_code = describe(outcome)
    detail = run.redactor.clean(detail)
    now = run.clock.now()
    async with run.apply() as (session, operation):
        step = await session.get_one(OperationStep, step_id)
        step.status, step.detail, step.error_code, step.finished_at = status, detail, error_code, now
        if isinstance(outcome, Advance | Done):
            operation.resumes = 0
        await store.add_event(
            session, operation, "step", detail or status, at=now, step=name, data={"state": status, "error": error_code}
        )


def describe(outcome: Outcome) -> tuple[str, str, str | None]:
    """Status, sentence and error code of an outcome, for the history."""
    match outcome:
        case Advance(detail=detail) | Done(detail=detail):
            return "advanced", detail, None
        case Wait(why=why):
            return "waiting", why, None
        case Retry(error=error):
            return "retry", str(error), error.code
        case GiveUp(error=error):
            return "failed", str(error), error.code
