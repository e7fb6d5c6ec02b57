"""What each remedy does. Each looks first, acts on a difference, and leaves the proof to the graph.

An act says what it did, or raises an error of ours: then the rung has failed and the ladder goes on.
"""

from collections.abc import Awaitable, Callable

from lazaret.healing.context import HealingContext
from lazaret.healing.remedy import Remedy
from lazaret.kernel.errors import LazaretError
from lazaret.operations.calls import MadeCall, Send
from lazaret.provisioning.provider_tasks import begin, finished_task
from lazaret.servers.provider import Capability, Provider, ServerDetails

PROVIDER_TASK_S = 180.0
"""A flush or a reboot that the provider has not finished by then has failed."""

RESTART_DOCKER = "systemctl reset-failed docker.service docker.socket; timeout 60 systemctl restart docker.service"
FREE_DISK = """
journalctl --rotate --vacuum-size=50M
apt-get clean
find /var/log -xdev -type f \\( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' \\) -delete
find /var/log -xdev -type f -size +20M ! -path '/var/log/journal/*' -exec truncate --size=0 {} +
find /tmp /var/tmp -xdev -type f -mtime +7 -delete
command -v docker >/dev/null && timeout 60 docker image prune --force
true
"""
"""Only what can be made again or was rotated away. Volumes, databases and running containers are not touched."""


class RemedyFailed(LazaretError):
    """A remedy could not be carried out."""

    code = "remedy_failed"


async def restart_docker(ctx: HealingContext) -> str:
    """Start Docker anew; containers with a restart policy come with it."""
    await _command(ctx, RESTART_DOCKER, "Docker does not start")
    return "restarted Docker"


async def free_disk(ctx: HealingContext) -> str:
    """Remove rotated logs, caches and unused images."""
    before = await _free_mb(ctx)
    await _command(ctx, FREE_DISK, "the disk could not be cleaned")
    freed = await _free_mb(ctx) - before
    return f"freed {freed} MB"


async def restart_service(ctx: HealingContext) -> str:
    """Bring the services back as they were deployed."""
    names = await ctx.parts.provisioning.redeployer.redeploy(ctx.run, ctx.run.handle)
    return f"brought back: {', '.join(names) or 'nothing'}"


async def flush_firewall(ctx: HealingContext) -> str:
    """Have the provider drop the packet filter's rules."""
    return await _by_provider(ctx, Capability.FLUSH_FIREWALL, lambda provider, server: provider.flush_firewall(server))


async def reboot(ctx: HealingContext) -> str:
    """Have the provider restart the machine."""
    return await _by_provider(ctx, Capability.REBOOT, lambda provider, server: provider.reboot(server))


ACTS: dict[Remedy, Callable[[HealingContext], Awaitable[str]]] = {
    Remedy.RESTART_SERVICE: restart_service,
    Remedy.RESTART_DOCKER: restart_docker,
    Remedy.FREE_DISK: free_disk,
    Remedy.FLUSH_FIREWALL: flush_firewall,
    Remedy.REBOOT: reboot,
}
"""The remedies that are one act. Setting up again and reinstalling are workflows of provisioning."""


async def _by_provider(ctx: HealingContext, action: Capability, call: Callable[[Provider, int], Awaitable[int]]) -> str:
    snapshot = await ctx.steps.snapshot()

    async def plan(details: ServerDetails) -> Send:
        return lambda: call(snapshot.provider, details.server_id)

    made: MadeCall = await begin(ctx.steps, snapshot, action, plan)
    await finished_task(ctx.steps, snapshot, action, made, timeout_s=PROVIDER_TASK_S * ctx.parts.patience)
    return f"the provider finished its task {made.task_id or '(found by name)'}"


async def _command(ctx: HealingContext, command: str, failure: str) -> None:
    snapshot = await ctx.steps.snapshot()
    connection = ctx.parts.provisioning.access.connect(
        snapshot.endpoint, host_keys=snapshot.host_keys, login=ctx.steps.login, timeout_s=10
    )
    async with connection as session:
        result = await session.run("sh -s", stdin=command, timeout_s=120)
    if not result.ok:
        text = ctx.run.redactor.clean((result.stderr or result.stdout).strip()[-300:])
        raise RemedyFailed(f"{failure}: {text or f'exit status {result.exit_status}'}")


async def _free_mb(ctx: HealingContext) -> int:
    snapshot = await ctx.steps.snapshot()
    connection = ctx.parts.provisioning.access.connect(
        snapshot.endpoint, host_keys=snapshot.host_keys, login=ctx.steps.login, timeout_s=10
    )
    async with connection as session:
        result = await session.run("df --output=avail -m / | tail -n 1", timeout_s=20)
    text = result.stdout.strip()
    return int(text) if text.isdigit() else 0
