"""Beginning an action at the provider and waiting for its task, the same way for reset and reinstall."""

from collections.abc import Awaitable, Callable

from lazaret.operations.calls import MadeCall, Send, call_once, task_of_call
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.servers.provider import Capability, ProviderCannot, ProviderTask, ProviderTaskTimeout, ServerDetails


async def begin(
    ctx: StepContext, snapshot: Snapshot, action: Capability, plan: Callable[[ServerDetails], Awaitable[Send]]
) -> MadeCall:
    """Make the call at most once. Right before it, the server is proved to be ours and free of other tasks.

    `plan` reads what else must be known and returns the call. Raises `ProviderCannot`, before anything is recorded,
    when the provider has no such action.
    """
    if action not in snapshot.provider.capabilities:
        raise ProviderCannot(f"The provider of {ctx.run.handle}, {snapshot.provider.name}, has no {action}.")

    async def prepare() -> Send:
        details = await ctx.prove_touchable(snapshot)
        while details.active_task is not None:
            await ctx.run.note(f"the provider is busy with {details.active_task.name}; waiting for it")
            await ctx.run.clock.sleep(ctx.parts.limits.poll_s)
            details = await ctx.prove_touchable(snapshot)
        return await plan(details)

    return await call_once(ctx.run, snapshot.provider, snapshot.target.provider_id, action, prepare)


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
