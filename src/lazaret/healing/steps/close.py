"""Steps: the end of a recovery. Resolved by proof, or handed over to a person with all that is known."""

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.healing.context import HealingContext
from lazaret.healing.evidence import gather_evidence
from lazaret.healing.return_to_service import return_to_service
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.step import StepResult
from lazaret.healing.store import remedies_for
from lazaret.healing.storms import note_canary
from lazaret.incidents.model import IncidentStatus, TimelineKind
from lazaret.incidents.store import change_incident, get_incident, tell
from lazaret.kernel import audit
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.i18n import mark
from lazaret.kernel.metrics import RECOVERY
from lazaret.operations.outcome import Done, GiveUp
from lazaret.probing.verdict import Condition
from lazaret.provisioning.host_keys import NAME_THE_KEY
from lazaret.servers import store as servers
from lazaret.servers.provider import Capability
from lazaret.servers.status import Party


class NeedsAPerson(LazaretError):
    """A recovery has done what it may."""

    code = "needs_a_person"


async def close(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """Status, incident, storm and message in one transaction. A second time it changes nothing."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, operation):
        incident = await get_incident(session, ctx.incident_id, for_update=True)
        server = await servers.get_server(session, ctx.run.handle, for_update=True)
        names = operation.result.get("services_redeployed") or []
        if incident.status != IncidentStatus.RESOLVED:
            took_s = (now - incident.detected_at).total_seconds()
            found_s = (incident.detected_at - incident.began_at).total_seconds()
            message = mark(
                "Server {handle} is back: {helped_by} helped. Services redeployed: {services}. "
                "Detected in {found_s} s, recovered in {took_s} s."
            )
            values = {
                "handle": server.handle,
                "helped_by": state["helped_by"] or "itself",
                "services": len(names),
                "found_s": round(found_s),
                "took_s": round(took_s),
            }
            tell(session, incident, TimelineKind.MESSAGE, message, at=now, **values)
            await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.WORKER, at=now)
            await note_canary(session, ctx.run.handle, helped=True, at=now)
            notify_admins(
                session,
                message,
                Level.INFO,
                at=now,
                server_handle=server.handle,
                operation_id=operation.id,
                incident_id=incident.id,
                **values,
            )
            RECOVERY.observe(took_s)
        await return_to_service(
            session,
            server,
            Party.WORKER,
            audit.WORKER,
            in_use=await ctx.parts.provisioning.redeployer.has_services(session, ctx.run.handle),
            at=now,
            reason=f"recovered by operation {operation.id}",
            operation_id=operation.id,
        )
        result = {
            **operation.result,
            "status": server.status,
            "helped_by": state["helped_by"],
            "incident_id": incident.id,
        }
    return Done(f"{ctx.run.handle} is {result['status']}", result=result)


async def hand_over(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """One clear message: what was tried, what is known, what a person can do.

    The incident and what hangs on it follow when the operation ends, in one transaction: whoever sees the incident
    handed over finds nothing at work any more.
    """
    if state["can_log_in"]:
        await ctx.tell(TimelineKind.ATTEMPT, await gather_evidence(ctx))
    async with ctx.run.db.transaction() as session:
        tried = [f"{row.remedy} ({row.outcome})" for row in await remedies_for(session, ctx.incident_id)]
    text = (
        f"{ctx.run.handle} is {state['condition']} and needs a person. Tried: {', '.join(tried) or 'nothing'}. "
        f"{state.get('because', '')}"
    )
    return GiveUp(NeedsAPerson(text, hint=await _what_a_person_can_do(ctx, state)))


async def _what_a_person_can_do(ctx: HealingContext, state: RecoveryState) -> str:
    handle = ctx.run.handle
    hint = f"See `lazaret why {handle}`. Try again: lazaret incidents recover {ctx.incident_id}. "
    async with ctx.run.db.transaction() as session:
        capabilities = (await servers.get_server(session, handle)).capabilities
    if Capability.REINSTALL in capabilities:
        return f"{hint}From a fresh system: lazaret rebuild {handle}"
    if state["condition"] == Condition.HOST_KEY_CHANGED:
        return f"{hint}If you reinstalled it yourself, {NAME_THE_KEY}."
    if state["can_log_in"]:
        return f"{hint}Mend it over SSH, or set it up again: lazaret provision {handle}"
    return (
        f"{hint}Nobody but you can restart it or see its console: switch it on, mend its way in, or ask whoever rents "
        "it to you. It is watched on, and taken back when it answers."
    )
