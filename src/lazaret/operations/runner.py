"""Runs one operation: takes the lease, spends an attempt, lets the workflow go on, writes down how it ended.

The only place, with the process tops, that catches everything. Crashes are found by the lease that nobody renews.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.clock import Clock
from lazaret.kernel.correlation import REQUEST_ID, bound
from lazaret.kernel.database import Database, is_away, without_statement
from lazaret.kernel.errors import LazaretError, Misconfigured
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loops import end_tasks
from lazaret.kernel.metrics import PROVISIONING_ATTEMPTS, PROVISIONING_DURATION
from lazaret.kernel.secrets import Redactor
from lazaret.operations import store
from lazaret.operations.backoff import backoff_s
from lazaret.operations.intents import STATUS_BEFORE, back_in_service, end_cancelled
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.outcome import Done, GiveUp, Outcome, Retry, Wait
from lazaret.operations.run import OperationRun, UnexpectedFailure, Workflow
from lazaret.servers import store as servers
from lazaret.servers.status import Party, ServerStatus, StatusEvent

logger = get_logger(__name__)

LEASE_S = 12.0
"""Shorter than the time after which a worker is taken for dead. It is renewed four times as often."""
ORDERLY_END_S = 30.0
"""A cancelled run gets so long to end what it began on a machine, before it is cancelled again."""
HELD_S = 5.0
"""What has not begun does not begin on a server that is on hold; it is looked at again so often."""
MAX_RESUMES = 5
"""Crashes in a row without one step of progress before the operation is given up as poison."""


FailureListener = Callable[[AsyncSession, Operation, datetime], Awaitable[None]]
"""Told in the transaction that ends a failed operation: incidents and messages stand above this room."""


class Crashing(LazaretError):
    """Worker after worker died in the same step."""

    code = "crashing"


class Inconclusive(LazaretError):
    """What an operation led to could not be written down."""

    code = "inconclusive"


class NoWorkflow(Misconfigured):
    """This worker does not know how to do what the operation asks for."""

    code = "no_workflow"


class Runner:
    """Fulfils the queue's job for every kind of operation that has a workflow."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        redactor: Redactor,
        workflows: Mapping[OperationKind, Workflow],
        *,
        on_failed: Sequence[FailureListener] = (),
        lease_s: float = LEASE_S,
    ) -> None:
        self._lease_s = lease_s
        self._db = db
        self._clock = clock
        self._redactor = redactor
        self._workflows = workflows
        self._on_failed = on_failed

    async def run(self, operation_id: int) -> None:
        """Take the operation if it is due and free, and run it as far as it goes. Never raises for what it meets."""
        try:
            run = await self._claim(operation_id)
            if run is not None:
                with bound(**run.trace):
                    await self._run_to_a_conclusion(run)
        except Exception as error:
            if not is_away(error):
                raise
            # Nothing can be written now. The lease runs out, and the operation is taken over where it stands.
            logger.warning("operation.database_away", operation=operation_id, error=type(error).__name__)

    async def _run_to_a_conclusion(self, run: OperationRun) -> None:
        logger.info("operation.begins", attempt=run.attempt)
        try:
            outcome = await self._advance(run)
            await self._write_down(run, outcome)
        except store.LeaseLost:
            logger.info("operation.superseded", operation=run.operation_id, handle=run.handle)
        except asyncio.CancelledError:
            await asyncio.shield(self._hand_back(run))
            raise

    async def _claim(self, operation_id: int) -> OperationRun | None:
        now = self._clock.now()
        async with self._db.transaction() as session:
            operation = await store.get_operation(session, operation_id, for_update=True)
            if not _is_free(operation, now):
                return None
            crashed = operation.status == OperationStatus.RUNNING
            if operation.cancel_requested_by:
                await end_cancelled(session, operation, audit.WORKER, at=now)
                return None
            if operation.started_at is None and await servers.holds_on(session, operation.server_handle, at=now):
                operation.due_at = now + timedelta(seconds=HELD_S)
                return None
            if crashed:
                operation.resumes += 1
                await store.close_interrupted_steps(session, operation_id, at=now)
            else:
                operation.attempt += 1
                server = await servers.get_server(session, operation.server_handle, for_update=True)
                server.provisioning_attempts = operation.attempt
            operation.status = OperationStatus.RUNNING.value
            operation.lease = secrets.token_hex(8)
            operation.lease_until = now + timedelta(seconds=self._lease_s)
            operation.started_at = operation.started_at or now
            message = (
                f"taken over after its worker died, at {operation.step or 'the start'}"
                if crashed
                else f"attempt {operation.attempt} of {operation.max_attempts}"
            )
            await store.add_event(session, operation, "operation", message, at=now)
            return OperationRun(
                operation_id=operation.id,
                handle=operation.server_handle,
                lease=operation.lease,
                attempt=operation.attempt,
                db=self._db,
                clock=self._clock,
                redactor=self._redactor,
                trace=_trace_of(operation),
            )

    async def _advance(self, run: OperationRun) -> Outcome:
        """The workflow's outcome, with the lease renewed meanwhile; a lost lease or a cancellation stops it."""
        async with self._db.transaction() as session:
            operation = await store.get_operation(session, run.operation_id)
            if operation.resumes > MAX_RESUMES:
                return GiveUp(Crashing(f"{operation.resumes} workers died in the step {operation.step}."))
            workflow = self._workflows.get(OperationKind(operation.kind))
            if workflow is None:
                text = f"This worker cannot do operations of the kind {operation.kind}."
                return GiveUp(NoWorkflow(text, hint="Set TIME4VPS_LOGIN and TIME4VPS_PASSWORD for every worker."))
        work = asyncio.create_task(workflow.advance(run))
        keeper = asyncio.create_task(self._keep_lease(run))
        try:
            await asyncio.wait({work, keeper}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await keeper  # the lease is lost, or the operation was cancelled and is over
        finally:
            await end_tasks(work, keeper, grace_s=ORDERLY_END_S)
        try:
            return work.result()
        except (store.LeaseLost, asyncio.CancelledError):
            raise store.LeaseLost(f"Operation {run.operation_id} is no longer ours.") from None
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("workflow.failed", operation=run.operation_id)
            text = self._redactor.clean(f"{type(error).__name__}: {error}")[:300]
            return Retry(UnexpectedFailure(f"The workflow failed: {text}", hint="The log has the details."))

    async def _keep_lease(self, run: OperationRun) -> None:
        """Renew until told otherwise. A database that is away for a while only delays the next renewal."""
        while True:
            await asyncio.sleep(self._lease_s / 4)
            try:
                async with run.apply() as (session, operation):
                    if operation.cancel_requested_by:
                        await end_cancelled(session, operation, audit.WORKER, at=self._clock.now())
                        break
                    operation.lease_until = self._clock.now() + timedelta(seconds=self._lease_s)
            except store.LeaseLost:
                break
            except Exception as error:  # noqa: BLE001 - the database may be restarting; the lease is still ours
                logger.warning("lease.renewal_failed", operation=run.operation_id, error=type(error).__name__)

    async def _write_down(self, run: OperationRun, outcome: Outcome) -> None:
        """The outcome, or that it cannot be written down: nothing is taken over for ever."""
        try:
            await self._conclude(run, outcome)
            logger.info("operation.went", outcome=type(outcome).__name__.lower())
        except store.LeaseLost:
            raise
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("operation.inconclusive", operation=run.operation_id)
            await self._end_inconclusive(run, error)

    async def _conclude(self, run: OperationRun, outcome: Outcome) -> None:
        """Write down how the run ended. Locks are taken in one order everywhere: operation, server, event log."""
        now = self._clock.now()
        async with run.apply() as (session, operation):
            if operation.cancel_requested_by and not isinstance(outcome, Done):
                await end_cancelled(session, operation, audit.WORKER, at=now)
                return
            PROVISIONING_ATTEMPTS.labels(kind=operation.kind, end=type(outcome).__name__.lower()).inc()
            match outcome:
                case Done(result=result):
                    if operation.started_at is not None:
                        took_s = (now - operation.started_at).total_seconds()
                        PROVISIONING_DURATION.labels(kind=operation.kind).observe(took_s)
                    operation.result = self._redactor.clean_value(result)
                    store.finish(operation, OperationStatus.SUCCEEDED, at=now)
                    await store.add_event(session, operation, "operation", "succeeded", at=now)
                case Wait(why=why, asks_for=asks_for, until=until):
                    operation.status = OperationStatus.WAITING.value
                    operation.waiting_for, operation.waiting_until = asks_for, until
                    operation.hint = self._redactor.clean(why)
                    operation.lease = operation.lease_until = None
                    await store.add_event(session, operation, "operation", f"waiting: {operation.hint}", at=now)
                case Retry(error=error, after_s=after_s) if operation.attempt < operation.max_attempts:
                    wait_s = after_s if after_s is not None else backoff_s(operation.attempt)
                    operation.status = OperationStatus.QUEUED.value
                    operation.due_at = now + timedelta(seconds=wait_s)
                    operation.lease = operation.lease_until = None
                    self._note_error(operation, error)
                    await store.add_event(
                        session, operation, "operation", f"next attempt in {wait_s:.0f} s: {operation.error}", at=now
                    )
                case Retry(error=error) | GiveUp(error=error):
                    store.finish(operation, OperationStatus.FAILED, at=now)
                    self._note_error(operation, error)
                    await self._mark_server_failed(session, operation, now)
                    for listener in self._on_failed:
                        await listener(session, operation, now)
                    await store.add_event(session, operation, "operation", f"failed: {operation.error}", at=now)
                case _:
                    raise AssertionError(f"a workflow returned {outcome!r}")

    async def _end_inconclusive(self, run: OperationRun, error: Exception) -> None:
        """A failure, whatever it was; of what follows from that, as much as can be written down."""
        now = self._clock.now()
        text = self._redactor.clean(f"{type(error).__name__}: {without_statement(error)}")[:300]
        failure = Inconclusive(f"How it ended could not be written down: {text}", hint="The log has the details.")
        async with run.apply() as (session, operation):
            store.finish(operation, OperationStatus.FAILED, at=now)
            self._note_error(operation, failure)
            for follow in (self._mark_server_failed, *self._on_failed):
                try:
                    async with session.begin_nested():
                        await follow(session, operation, now)
                except Exception as another:
                    if is_away(another):
                        raise
                    logger.exception("operation.consequence_failed", operation=run.operation_id)
                    await session.refresh(operation)
            await store.add_event(session, operation, "operation", f"failed: {operation.error}", at=now)

    def _note_error(self, operation: Operation, error: LazaretError) -> None:
        operation.error_code = error.code
        operation.error = self._redactor.clean(error.message)[:1000]
        operation.hint = self._redactor.clean(error.hint)[:1000]

    async def _mark_server_failed(self, session: AsyncSession, operation: Operation, now: datetime) -> None:
        server = await servers.get_server(session, operation.server_handle, for_update=True)
        status = ServerStatus(server.status)
        if status in {ServerStatus.PROVISIONING, ServerStatus.FORCE_REBUILD}:
            back = back_in_service(status, operation.params.get(STATUS_BEFORE))
            servers.change_status(
                session,
                server,
                back or StatusEvent.PROVISIONING_FAILED,
                Party.WORKER,
                actor=audit.WORKER,
                at=now,
                reason=f"operation {operation.id} failed before it began: {operation.error}"
                if back
                else operation.error or "",
                operation_id=operation.id,
            )

    async def _hand_back(self, run: OperationRun) -> None:
        """The worker stops: another one may go on at once, and no attempt is lost."""
        with contextlib.suppress(Exception):
            async with run.apply() as (session, operation):
                operation.status = OperationStatus.QUEUED.value
                operation.attempt -= 1  # the next claim counts it again: stopping a worker is no failed attempt
                operation.due_at = self._clock.now()
                operation.lease = operation.lease_until = None
                await store.close_interrupted_steps(session, run.operation_id, at=self._clock.now())
                await store.add_event(
                    session, operation, "operation", "handed back: the worker stops", at=self._clock.now()
                )


def _trace_of(operation: Operation) -> dict[str, Any]:
    """By what the log lines of an operation are found."""
    return {
        "operation": operation.id,
        "kind": operation.kind,
        "handle": operation.server_handle,
        "incident": operation.params.get("incident_id"),
        REQUEST_ID: operation.params.get(REQUEST_ID),
    }


def _is_free(operation: Operation, now: datetime) -> bool:
    """Whether a worker may take it: queued and due, or running under a lease that ran out."""
    if operation.status == OperationStatus.QUEUED:
        return operation.due_at <= now
    return (
        operation.status == OperationStatus.RUNNING
        and operation.lease_until is not None
        and operation.lease_until < now
    )
