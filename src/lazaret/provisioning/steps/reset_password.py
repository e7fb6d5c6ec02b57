"""Steps: ask the provider for a new root password, and wait for it. Where it cannot be had, a person is asked."""

from datetime import timedelta

from lazaret.kernel.errors import LazaretError
from lazaret.operations.calls import MadeCall, Send
from lazaret.operations.outcome import Advance, GiveUp, Outcome, Wait
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.passwords import store_password, stored_password
from lazaret.provisioning.provider_tasks import begin, finished_task
from lazaret.servers.provider import (
    Capability,
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTaskTimeout,
    ServerDetails,
)

REFUSALS = (ProviderRefused, ProviderLoginRefused, ProviderAddressNotAllowed)
"""A clear no, which asking again does not change."""

LOOK_AGAIN_S = 300
"""While a person is asked, the provider is looked at again so often: its task may end late."""
ASK_FOR = timedelta(hours=24)
"""After that the operation gives up."""


async def reset_password(ctx: StepContext) -> Outcome:
    """Ask for a reset, once. A password that a person gave is used instead."""
    if await stored_password(ctx) is not None:
        return Advance("a root password is at hand", to="wait_for_ssh")
    if Capability.RESET_PASSWORD not in ctx.parts.provider.capabilities:
        return await ask_for_password(ctx, "This provider cannot reset the root password.")
    try:
        made = await _ask(ctx, await ctx.snapshot())
    except ProviderBusy:
        raise
    except REFUSALS as error:
        return await ask_for_password(ctx, f"The provider refused to reset the root password: {error.message}")
    return Advance(f"asked for a new root password (provider task {made.task_id or 'found by name'})")


async def wait_for_password(ctx: StepContext) -> Outcome:
    """Wait for the reset's task and store the password that it carries."""
    if await stored_password(ctx) is not None:
        return Advance("a root password is at hand")
    snapshot = await ctx.snapshot()
    try:
        made = await _ask(ctx, snapshot)
        task = await finished_task(
            ctx, snapshot, Capability.RESET_PASSWORD, made, timeout_s=ctx.parts.limits.password_reset_s
        )
    except ProviderTaskTimeout as error:
        return await ask_for_password(ctx, error.message)
    except ProviderBusy:
        raise
    except REFUSALS as error:
        return await ask_for_password(ctx, f"The provider refuses to show the new root password: {error.message}")
    password = ctx.parts.provider.password_in(task)
    if password is None:
        return await ask_for_password(ctx, "The provider finished the reset, but its answer holds no password.")
    await store_password(ctx, password, task_id=made.task_id)
    return Advance("the new root password is stored")


async def _ask(ctx: StepContext, snapshot: Snapshot) -> MadeCall:
    async def plan(details: ServerDetails) -> Send:
        return lambda: ctx.parts.provider.reset_password(details.server_id)

    return await begin(ctx, snapshot, Capability.RESET_PASSWORD, plan)


class PasswordNotGiven(LazaretError):
    """Nobody gave the root password in time."""

    code = "password_not_given"


async def ask_for_password(ctx: StepContext, why: str) -> Outcome:
    """Wait for a person; look at the provider again from time to time; give up after a day."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (_, operation):
        asked_since = operation.started_at or now
    hint = f"Give it by hand: lazaret provision {ctx.run.handle} --root-password-stdin"
    if now - asked_since > ASK_FOR:
        return GiveUp(PasswordNotGiven(f"{why} Nobody gave one within 24 hours.", hint=hint))
    return Wait(f"{why} {hint}", asks_for="root_password", until=now + timedelta(seconds=LOOK_AGAIN_S))
