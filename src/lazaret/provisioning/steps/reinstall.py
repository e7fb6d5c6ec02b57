"""Steps: put a fresh operating system on the server. Data goes; only an explicit intent leads here."""

from lazaret.kernel.errors import Conflict
from lazaret.operations.calls import MadeCall, Send
from lazaret.operations.outcome import Advance, GiveUp, Outcome
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.host_keys import open_epoch
from lazaret.provisioning.passwords import store_password, stored_password
from lazaret.provisioning.provider_tasks import begin, finished_task
from lazaret.provisioning.steps.choose_system import NothingToInstall, choose_os
from lazaret.servers.provider import Capability, ProviderCannot, ServerDetails


async def reinstall(ctx: StepContext) -> Outcome:
    """Ask for the reinstall, once, and open a new epoch of host keys for it."""
    snapshot = await ctx.snapshot()
    if not snapshot.wants_reinstall:
        return GiveUp(Conflict("This operation does not ask for a reinstall.", hint="Nothing was done."))
    try:
        made = await _ask(ctx, snapshot)
    except (NothingToInstall, ProviderCannot) as error:
        return GiveUp(error)
    await open_epoch(ctx, opened_by=f"reinstall call {made.row_id}")
    return Advance(f"asked for a reinstall (provider task {made.task_id or 'found by name'})")


async def wait_for_reinstall(ctx: StepContext) -> Outcome:
    """Wait for the task; the password in its result is stored, else a reset follows."""
    snapshot = await ctx.snapshot()
    if await stored_password(ctx) is not None:
        return Advance("a root password is at hand", to="wait_for_ssh")
    made = await _ask(ctx, snapshot)
    task = await finished_task(ctx, snapshot, Capability.REINSTALL, made, timeout_s=ctx.parts.limits.reinstall_s)
    password = snapshot.provider.password_in(task)
    if password is None:
        return Advance("reinstalled; the result holds no password", to="reset_password")
    await store_password(ctx, password, task_id=made.task_id)
    return Advance("reinstalled; the new root password is stored", to="wait_for_ssh")


async def _ask(ctx: StepContext, snapshot: Snapshot) -> MadeCall:
    async def plan(details: ServerDetails) -> Send:
        os_template = await choose_os(ctx, snapshot, details)
        return lambda: snapshot.provider.reinstall(details.server_id, os_template)

    return await begin(ctx, snapshot, Capability.REINSTALL, plan)
