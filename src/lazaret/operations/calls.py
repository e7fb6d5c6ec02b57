"""Calls that change a machine at the provider: at most one per operation, action and round, whatever crashes.

Write-ahead row, then the call, then the task id. After a crash or an uncertain answer the provider is asked what it
did before anything is sent again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from lazaret.kernel import audit
from lazaret.operations.model import CallState, ProviderCall
from lazaret.operations.run import OperationRun
from lazaret.servers.provider import (
    Capability,
    Provider,
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderLoginRefused,
    ProviderTask,
    ProviderThrottled,
    ProviderUnavailable,
    ServerDetails,
)

CLOCK_SLACK = timedelta(seconds=120)
"""How far the provider's clock may differ from ours when its tasks are matched with our calls."""
SETTLE_S = 30.0
"""A call whose answer was lost may still arrive: so long after the loss nobody concludes that it was not made."""
SETTLE_POLL_S = 3.0
"""Between two looks at the provider's tasks meanwhile."""

Send = Callable[[], Awaitable[int]]
"""Makes the call and returns the provider's task id."""

_NOT_EXECUTED = (ProviderThrottled, ProviderBusy, ProviderLoginRefused, ProviderAddressNotAllowed)
"""Answers to the call itself that say for certain that nothing was begun."""


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call that the provider took. `task_id` is None when its answer was lost and the task was found by name."""

    row_id: int
    task_id: int | None
    intended_at: datetime


async def call_once(
    run: OperationRun,
    provider: Provider,
    server_id: int,
    action: Capability,
    prepare: Callable[[], Awaitable[Send]],
) -> MadeCall:
    """Make the call of this operation, or find the one that was made.

    `prepare` proves that the server may be touched and returns the call; it runs only when no earlier call can have
    had an effect, and changes nothing. The intent is written after it, right before the call: so its time is the
    call's. Raises what both raise, and what reading from the provider raises.
    """
    row = await _latest(run, action)
    if row is not None and row.state == CallState.INTENDED:
        made = await _settle(run, provider, server_id, action, row)
        if made is not None:
            return made
    elif row is not None and row.state == CallState.SENT:
        return MadeCall(row.id, row.task_id, row.intended_at)
    send = await prepare()
    intended = await _intend(run, action, round_=1 if row is None else row.round + 1)
    return await _send(run, intended, send)


async def was_made(run: OperationRun, action: Capability) -> bool:
    """Whether this operation has made the call, or may have."""
    row = await _latest(run, action)
    return row is not None and row.state != CallState.NOT_SENT


def _key(run: OperationRun, action: Capability) -> str:
    """The same action in another part of the operation is another call."""
    return f"{action}.{run.scope}" if run.scope else action.value


async def _latest(run: OperationRun, action: Capability) -> ProviderCall | None:
    async with run.apply() as (session, _):
        return await session.scalar(
            select(ProviderCall)
            .where(ProviderCall.operation_id == run.operation_id, ProviderCall.action == _key(run, action))
            .order_by(ProviderCall.round.desc())
            .limit(1)
        )


async def _intend(run: OperationRun, action: Capability, *, round_: int) -> ProviderCall:
    async with run.apply() as (session, operation):
        row = ProviderCall(
            operation_id=run.operation_id,
            server_handle=operation.server_handle,
            action=_key(run, action),
            round=round_,
            state=CallState.INTENDED.value,
            intended_at=run.clock.now(),
        )
        session.add(row)
        await session.flush()
        return row


async def _send(run: OperationRun, row: ProviderCall, send: Send) -> MadeCall:
    try:
        task_id = await send()
    except _NOT_EXECUTED:
        await _mark(run, row, CallState.NOT_SENT, None)
        raise
    except ProviderUnavailable as error:
        await _mark(run, row, CallState.NOT_SENT if error.certainly_not_sent else CallState.INTENDED, None)
        raise
    await _mark(run, row, CallState.SENT, task_id)
    return MadeCall(row.id, task_id, row.intended_at)


async def _settle(
    run: OperationRun, provider: Provider, server_id: int, action: Capability, row: ProviderCall
) -> MadeCall | None:
    """An intended call of unknown fate: the provider's own record of tasks decides. None: it was never executed."""
    while True:
        details = await provider.get_server(server_id, fresh=True)
        if task_of_call(details, provider.task_names[action], row.intended_at) is not None:
            await _mark(run, row, CallState.SENT, None)
            return MadeCall(row.id, None, row.intended_at)
        if (run.clock.now() - (row.sent_at or row.intended_at)).total_seconds() >= SETTLE_S:
            await _mark(run, row, CallState.NOT_SENT, None)
            return None
        await run.clock.sleep(SETTLE_POLL_S)


def task_of_call(details: ServerDetails, name: str, intended_at: datetime) -> ProviderTask | None:
    """The newest task of that kind that our call can have begun: not older than the call."""
    tasks = [*details.last_tasks, *([details.active_task] if details.active_task else [])]
    for task in reversed(tasks):
        began = task.activated_at or task.assigned_at or task.completed_at
        if task.name == name and began is not None and began >= intended_at - CLOCK_SLACK:
            return task
    return None


async def _mark(run: OperationRun, row: ProviderCall, state: CallState, task_id: int | None) -> None:
    now = run.clock.now()
    async with run.apply() as (session, operation):
        stored = await session.get_one(ProviderCall, row.id)
        stored.state, stored.task_id = state.value, task_id
        stored.sent_at = None if state is CallState.NOT_SENT else now
        audit.record(
            session,
            audit.WORKER,
            f"provider.{row.action}",
            f"server:{operation.server_handle}",
            at=now,
            operation_id=run.operation_id,
            provider_task_id=task_id,
            state=state.value,
        )
