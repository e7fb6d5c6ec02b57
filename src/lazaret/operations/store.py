"""Reads and changes of the tables of operations. What a worker writes goes through its lease."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.errors import Conflict, NotFound
from lazaret.kernel.events import announce
from lazaret.operations.model import LIVE, Operation, OperationEvent, OperationStatus, OperationStep


class LeaseLost(Conflict):
    """Another worker, or a cancellation, took the operation over. Nothing may be written any more."""

    code = "lease_lost"


async def get_operation(session: AsyncSession, operation_id: int, *, for_update: bool = False) -> Operation:
    """The operation, or `NotFound`."""
    statement = select(Operation).where(Operation.id == operation_id)
    if for_update:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    operation = await session.scalar(statement)
    if operation is None:
        raise NotFound(f"There is no operation {operation_id}.", hint="`lazaret operations` lists them.")
    return operation


async def lock_leased(session: AsyncSession, operation_id: int, lease: str) -> Operation:
    """The operation, locked, if `lease` still holds it; else `LeaseLost`."""
    operation = await get_operation(session, operation_id, for_update=True)
    if operation.lease != lease or operation.status != OperationStatus.RUNNING:
        raise LeaseLost(f"Operation {operation_id} is no longer ours.")
    return operation


async def live_operation(session: AsyncSession, handle: str, *, for_update: bool = False) -> Operation | None:
    """The one live operation of a server, if any. Who locks both locks the operation first, then the server."""
    statement = select(Operation).where(
        Operation.server_handle == handle, Operation.status.in_([status.value for status in LIVE])
    )
    return await session.scalar(statement.with_for_update() if for_update else statement)


async def list_operations(
    session: AsyncSession,
    *,
    handle: str = "",
    statuses: Sequence[OperationStatus] = (),
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Operation], int]:
    """One page, newest first, and the number of all that match."""
    conditions: list[ColumnElement[bool]] = []
    if handle:
        conditions.append(Operation.server_handle == handle)
    if statuses:
        conditions.append(Operation.status.in_([status.value for status in statuses]))
    total = await session.scalar(select(func.count()).select_from(Operation).where(*conditions))
    rows = await session.scalars(
        select(Operation).where(*conditions).order_by(Operation.id.desc()).limit(limit).offset(offset)
    )
    return list(rows), total or 0


async def steps_of(session: AsyncSession, operation_id: int) -> list[OperationStep]:
    """Every run of every step, oldest first."""
    rows = await session.scalars(
        select(OperationStep).where(OperationStep.operation_id == operation_id).order_by(OperationStep.id)
    )
    return list(rows)


async def close_interrupted_steps(session: AsyncSession, operation_id: int, *, at: datetime) -> None:
    """No worker is in them any more."""
    await session.execute(
        update(OperationStep)
        .where(OperationStep.operation_id == operation_id, OperationStep.status == "running")
        .values(status="interrupted", finished_at=at, detail="its worker stopped or died")
    )


async def events_after(
    session: AsyncSession, event_id: int, *, operation_id: int | None = None, limit: int = 500
) -> list[OperationEvent]:
    """Events with a greater id, oldest first."""
    conditions = [OperationEvent.id > event_id]
    if operation_id is not None:
        conditions.append(OperationEvent.operation_id == operation_id)
    rows = await session.scalars(select(OperationEvent).where(*conditions).order_by(OperationEvent.id).limit(limit))
    return list(rows)


async def newest_events(session: AsyncSession, operation_id: int, *, limit: int) -> tuple[list[OperationEvent], int]:
    """The last events of an operation, oldest first, and how many there are in all."""
    mine = OperationEvent.operation_id == operation_id
    total = await session.scalar(select(func.count()).select_from(OperationEvent).where(mine)) or 0
    rows = await session.scalars(select(OperationEvent).where(mine).order_by(OperationEvent.id.desc()).limit(limit))
    return list(rows)[::-1], total


async def last_event_id(session: AsyncSession) -> int:
    """The greatest event id, 0 when there is none."""
    return await session.scalar(select(func.max(OperationEvent.id))) or 0


async def add_event(
    session: AsyncSession,
    operation: Operation,
    kind: str,
    message: str,
    *,
    at: datetime,
    step: str = "",
    data: dict[str, Any] | None = None,
) -> None:
    """Write one line of the live log and announce it when the transaction commits.

    Ids are given out under a lock that lasts until the commit, so that a reader who goes on from the greatest id
    that it has seen never misses a line of a transaction that commits late.
    """
    await session.execute(text("select pg_advisory_xact_lock(hashtext('operation_events'))"))
    event = OperationEvent(
        operation_id=operation.id,
        server_handle=operation.server_handle,
        at=at,
        kind=kind,
        step=step,
        message=message[:2000],
        data=data or {},
    )
    session.add(event)
    await session.flush()
    await announce(session, "operations", str(event.id))


def finish(
    operation: Operation,
    status: OperationStatus,
    *,
    at: datetime,
    error_code: str | None = None,
    error: str | None = None,
    hint: str | None = None,
) -> None:
    """End a locked operation. The caller writes the event and the server's status in the same transaction."""
    operation.status = status.value
    operation.finished_at = at
    operation.lease = None
    operation.lease_until = None
    operation.waiting_for = None
    operation.waiting_until = None
    operation.error_code = error_code
    operation.error = error
    operation.hint = hint
