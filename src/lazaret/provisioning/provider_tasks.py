"""Beginning an action at the provider and waiting for its task, the same way for reset and reinstall."""

from collections.abc import Awaitable, Callable

from lazaret.operations.calls import MadeCall, Send, call_once, task_of_call
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.servers.provider import (
    Capability,
    ProviderBusy,
    ProviderCannot,
    ProviderTask,
    ProviderTaskTimeout,
    ServerDetails,
)


async def begin(
    ctx: StepContext, snapshot: Snapshot, action: Capability, plan: Callable[[ServerDetails], Awaitable[Send]]
) -> MadeCall:
    """Make the call at most once. Right before it, the server is proved to be ours and free of other tasks.

    `plan` reads what else must be known and returns the call. Raises, before anything is recorded, `ProviderCannot`
    when the provider has no such action, and `ProviderBusy` when another task is in the way for too long: in a rung of
    a recovery at once, for somebody's own reboot may help, and what was decided before it is decided anew.
    """
    if action not in snapshot.provider.capabilities:
        raise ProviderCannot(f"The provider of {ctx.run.handle}, {snapshot.provider.name}, has no {action}.")

    async def prepare() -> Send:
        details = await ctx.prove_touchable(snapshot)
        if details.active_task is not None:
            if ctx.run.scope:
                raise _busy(details.active_task.name)
            details = await _once_free(ctx, snapshot, details.active_task.name)
        return await plan(details)

    return await call_once(ctx.run, snapshot.provider, snapshot.target.provider_id, action, prepare)


async def _once_free(ctx: StepContext, snapshot: Snapshot, name: str) -> ServerDetails:
    await ctx.run.note(f"the provider is busy with {name}; waiting for it")
    deadline = ctx.run.clock.monotonic() + ctx.parts.limits.busy_s
    while ctx.run.clock.monotonic() < deadline:
        await ctx.run.clock.sleep(ctx.parts.limits.poll_s)
        details = await ctx.prove_touchable(snapshot)
        if details.active_task is None:
            return details
    raise _busy(name)


def _busy(name: str) -> ProviderBusy:
    return ProviderBusy(f"The provider was busy with {name}.", hint="It is looked at anew.")


async def finished_task(
    ctx: StepContext, snapshot: Snapshot, action: Capability, made: MadeCall, *, timeout_s: float
) -> ProviderTask:
    """Wait until the task of our call is over. Raises `ProviderTaskTimeout`; the task itself goes on."""
    provider = snapshot.provider
    server_id = snapshot.target.provider_id
    if made.task_id is not None:
        return await provider.wait_for_task(server_id, made.task_id, timeout_s=timeout_s)
    deadline = ctx.run.clock.monotonic() + timeout_s
    while ctx.run.clock.monotonic() < deadline:
        details = await provider.get_server(server_id, fresh=True)
        task = task_of_call(details, provider.task_names[action], made.intended_at)
        if task is not None and task.is_over:
            return task
        await ctx.run.clock.sleep(ctx.parts.limits.poll_s)
    raise ProviderTaskTimeout(f"The provider did not finish {action} within {timeout_s:.0f} s.")
