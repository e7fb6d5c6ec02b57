"""Re-enqueues what the tables say is due: retries, waits that ran out, work whose worker died or whose job is lost."""

from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.operations import store
from lazaret.operations.model import Operation, OperationStatus
from lazaret.operations.queue import Queue


async def enqueue_due(db: Database, queue: Queue, clock: Clock, *, limit: int = 200) -> list[int]:
    """One pass; returns the ids that were handed to the queue. Doing it twice changes nothing."""
    await queue.drop_jobs_of_dead_workers()
    now = clock.now()
    async with db.transaction() as session:
        due = await _due(session, now, limit)
        for operation in due:
            await queue.enqueue(session, operation)
        await _end_overdue_waits(session, now)
    return [operation.id for operation in due]


async def _due(session: AsyncSession, now: datetime, limit: int) -> list[Operation]:
    rows = await session.scalars(
        select(Operation)
        .where(
            or_(
                and_(Operation.status == OperationStatus.QUEUED.value, Operation.due_at <= now),
                and_(Operation.status == OperationStatus.RUNNING.value, Operation.lease_until < now),
            )
        )
        .order_by(Operation.priority.desc(), Operation.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(rows)


async def _end_overdue_waits(session: AsyncSession, now: datetime) -> None:
    """A wait that nobody answered goes back to the workflow, which decides what that means."""
    rows = await session.scalars(
        select(Operation)
        .where(Operation.status == OperationStatus.WAITING.value, Operation.waiting_until < now)
        .with_for_update(skip_locked=True)
    )
    for operation in rows:
        operation.status = OperationStatus.QUEUED.value
        operation.due_at = now
        operation.attempt = max(0, operation.attempt - 1)
        message = f"nobody answered: {operation.waiting_for}"
        operation.waiting_for = operation.waiting_until = None
        await store.add_event(session, operation, "operation", message, at=now)
