"""Steps: bring the services back where they may be gone, and as the very last write say that the server is ready."""

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.deployments.redeploy import ServicesNotBack
from lazaret.incidents import store as incidents
from lazaret.incidents.model import IncidentType
from lazaret.kernel import audit
from lazaret.kernel.i18n import mark
from lazaret.operations.outcome import Advance, Done, Outcome
from lazaret.provisioning.context import StepContext
from lazaret.servers import store as servers
from lazaret.servers.status import OPERATIONAL, Party, ServerStatus, StatusEvent

OVER_WHEN_READY = (IncidentType.PROVISIONING_FAILED, IncidentType.HOST_KEY_CHANGED)
"""What a server that was just proved by its pinned key no longer suffers from."""


MESSAGES = {
    (False, False): mark("Server {handle} ({address}) is {status}."),
    (True, False): mark("Server {handle} ({address}) is {status}. Services redeployed: {services}."),
    (True, True): mark(
        "Server {handle} ({address}) is {status}. Services redeployed: {services}. Not back: {missing}."
    ),
}
"""By whether services were brought back, and whether some were not."""


async def redeploy_services(ctx: StepContext) -> Outcome:
    """In a recovery and in a rebuild, bring back what ran there; else it still runs."""
    snapshot = await ctx.snapshot()
    if not snapshot.brings_services_back:
        return Advance("what runs there was left as it is")
    async with ctx.run.db.transaction() as session:
        if not await ctx.parts.redeployer.has_services(session, ctx.run.handle):
            return Advance("no services to bring back")
    missing: list[str] = []
    try:
        names = await ctx.parts.redeployer.redeploy(ctx.run, ctx.run.handle)
    except ServicesNotBack as error:
        if snapshot.is_incident_recovery:
            raise
        # The server that somebody ordered is there and proved. The monitor opens an incident for what is missing.
        names, missing = list(error.back), list(error.missing)
    async with ctx.run.apply() as (_, operation):
        operation.result = {**operation.result, "services_redeployed": names, "services_missing": missing}
    if missing:
        return Advance(f"services brought back: {', '.join(names) or 'none'}; not back: {', '.join(missing)}")
    return Advance(f"services brought back: {', '.join(names) or 'none'}")


async def mark_ready(ctx: StepContext) -> Outcome:
    """Status, incident and message in one transaction. A second time it changes nothing."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, operation):
        server = await servers.get_server(session, ctx.run.handle, for_update=True)
        if ServerStatus(server.status) not in OPERATIONAL:
            in_use = await ctx.parts.redeployer.has_services(session, server.handle)
            event = StatusEvent.PROVISIONED_WITH_SERVICES if in_use else StatusEvent.PROVISIONED
            server.provisioned_at = now
            server.baseline_version = ctx.parts.baseline_version
            server.provisioning_attempts = 0
            servers.change_status(
                session,
                server,
                event,
                Party.WORKER,
                actor=audit.WORKER,
                at=now,
                reason=f"set up and proved by operation {operation.id}",
                operation_id=operation.id,
            )
            for over in OVER_WHEN_READY:
                await incidents.resolve_open(session, server.handle, over, audit.WORKER, at=now)
            services = operation.result.get("services_redeployed")
            missing = operation.result.get("services_missing")
            notify_admins(
                session,
                MESSAGES[services is not None, bool(missing)],
                Level.WARNING if missing else Level.INFO,
                at=now,
                server_handle=server.handle,
                operation_id=operation.id,
                handle=server.handle,
                address=server.public_ip,
                status=server.status,
                services=len(services or ()),
                missing=", ".join(missing or ()),
            )
        result = {**operation.result, "status": server.status}
    return Done(f"{ctx.run.handle} is {result['status']}", result=result)
