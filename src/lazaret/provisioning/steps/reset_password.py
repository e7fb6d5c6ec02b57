"""Steps: ask the provider for a new root password, and wait for it. Where it cannot be had, a person is asked.

Where the provider cannot reset one, the operator may have left a login for the first visit: it is tried before that.
"""

from datetime import datetime, timedelta

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.kernel.errors import LazaretError
from lazaret.operations.calls import MadeCall, Send
from lazaret.operations.outcome import Advance, GiveUp, Outcome, Wait
from lazaret.operations.store import steps_of
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.first_login import first_login, was_refused
from lazaret.provisioning.passwords import ASKED, store_password, stored_password
from lazaret.provisioning.provider_tasks import begin, finished_task
from lazaret.servers.access import AccessError
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
    snapshot = await ctx.snapshot()
    if Capability.RESET_PASSWORD not in snapshot.provider.capabilities:
        return await _without_reset(ctx, snapshot)
    try:
        made = await _ask(ctx, snapshot)
    except ProviderBusy:
        raise
    except REFUSALS as error:
        return await ask_for_password(ctx, f"The provider refused to reset the root password: {error.message}")
    return Advance(f"asked for a new root password (provider task {made.task_id or 'found by name'})")


async def _without_reset(ctx: StepContext, snapshot: Snapshot) -> Outcome:
    """The operator's login for the first visit, unless this operation has met its refusal; else a person."""
    if await first_login(ctx, snapshot) is not None:
        return Advance("the operator left a login for the first visit", to="wait_for_ssh")
    if await _asked_before(ctx) and await _our_key_opens(ctx, snapshot):
        return Advance("somebody put our key there", to="wait_for_ssh")
    refused = "It refuses the login that was left for the first visit. " if await was_refused(ctx) else ""
    return await ask_for_password(
        ctx,
        f"{ctx.run.handle} does not take our key. {refused}Its provider cannot reset the root password.",
        or_else=f", or put this line into its /root/.ssh/authorized_keys: {ctx.parts.key.public_key}",
    )


async def _asked_before(ctx: StepContext) -> bool:
    """Whether this operation has already waited here: then a person may have acted meanwhile."""
    async with ctx.run.db.transaction() as session:
        steps = await steps_of(session, ctx.run.operation_id)
    return any(step.name == "reset_password" and step.status == "waiting" for step in steps)


async def _our_key_opens(ctx: StepContext, snapshot: Snapshot) -> bool:
    access = ctx.parts.access
    try:
        host_keys = snapshot.host_keys or await access.read_host_keys(snapshot.endpoint)
        async with access.connect(snapshot.endpoint, host_keys=host_keys, login=ctx.login):
            return True
    except AccessError:
        return False


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
    password = snapshot.provider.password_in(task)
    if password is None:
        return await ask_for_password(ctx, "The provider finished the reset, but its answer holds no password.")
    await store_password(ctx, password, task_id=made.task_id)
    return Advance("the new root password is stored")


async def _ask(ctx: StepContext, snapshot: Snapshot) -> MadeCall:
    async def plan(details: ServerDetails) -> Send:
        return lambda: snapshot.provider.reset_password(details.server_id)

    return await begin(ctx, snapshot, Capability.RESET_PASSWORD, plan)


class PasswordNotGiven(LazaretError):
    """Nobody gave the root password in time."""

    code = "password_not_given"


async def ask_for_password(ctx: StepContext, why: str, *, or_else: str = "") -> Outcome:
    """Wait for a person; look at the provider again from time to time; give up after a day."""
    now = ctx.run.clock.now()
    hint = f"Give it by hand: lazaret provision {ctx.run.handle} --root-password-stdin{or_else}"
    if now - await _asked_since(ctx, why, hint) > ASK_FOR:
        return GiveUp(PasswordNotGiven(f"{why} Nobody gave one within 24 hours.", hint=hint))
    return Wait(f"{why} {hint}", asks_for="root_password", until=now + timedelta(seconds=LOOK_AGAIN_S))


async def _asked_since(ctx: StepContext, why: str, hint: str) -> datetime:
    """When the administrators were told that it is wanted: now, where they were not."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, operation):
        asked = operation.result.get(ASKED, {})
        if ctx.run.scope in asked:
            return datetime.fromisoformat(asked[ctx.run.scope])
        operation.result = {**operation.result, ASKED: {**asked, ctx.run.scope: now.isoformat()}}
        notify_admins(
            session,
            "{handle} waits for its root password, for a day at most. {because} {hint}",
            Level.CRITICAL,
            at=now,
            server_handle=ctx.run.handle,
            operation_id=operation.id,
            incident_id=operation.params.get("incident_id"),
            handle=ctx.run.handle,
            because=ctx.run.redactor.clean(why),
            hint=hint,
        )
    return now
