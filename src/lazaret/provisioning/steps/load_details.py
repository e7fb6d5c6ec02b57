"""Step: read the server's details, prove that it may be touched and can be given what is wanted, and begin."""

from lazaret.kernel import audit
from lazaret.operations.outcome import Advance, GiveUp, Outcome
from lazaret.provisioning.context import StepContext
from lazaret.provisioning.steps.choose_system import NothingToInstall, choose_os
from lazaret.servers import store as servers
from lazaret.servers.provider import ProviderCannot, ServerDetails
from lazaret.servers.status import Party, ServerStatus, StatusEvent


async def load_details(ctx: StepContext) -> Outcome:
    """Goes on to the reinstall where the intent asks for one, else to trying our key."""
    snapshot = await ctx.snapshot()
    details = await ctx.prove_touchable(snapshot)
    if snapshot.wants_reinstall:
        try:
            await choose_os(ctx, snapshot, details)  # while the server still is what it was
        except (NothingToInstall, ProviderCannot) as error:
            return GiveUp(error)
    await _remember(ctx, details)
    if snapshot.wants_reinstall:
        return Advance(f"{details.hostname} at {details.public_ip} is to be reinstalled", to="reinstall")
    return Advance(f"{details.hostname} at {details.public_ip}, {details.os_template or 'no operating system named'}")


async def _remember(ctx: StepContext, details: ServerDetails) -> None:
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, operation):
        server = await servers.get_server(session, ctx.run.handle, for_update=True)
        server.os_template = details.os_template or server.os_template
        server.capacity_cpu = details.cpu_cores or server.capacity_cpu
        server.capacity_ram_mb = details.ram_mb or server.capacity_ram_mb
        server.capacity_disk_mb = details.disk_mb or server.capacity_disk_mb
        if server.status != ServerStatus.PROVISIONING:
            servers.change_status(
                session,
                server,
                StatusEvent.PROVISIONING_STARTED,
                Party.WORKER,
                actor=audit.WORKER,
                at=now,
                reason=f"operation {operation.id}: {operation.reason or operation.kind}",
                operation_id=operation.id,
            )
