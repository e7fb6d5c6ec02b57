"""Step: ask a person whether this rung may be climbed. No answer is a no; a server that came back needs no answer."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.healing.context import HealingContext
from lazaret.healing.look import look
from lazaret.healing.model import Approval, Decision
from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.step import Next, StepResult
from lazaret.healing.store import approval_of, decide
from lazaret.incidents.model import TimelineKind
from lazaret.incidents.store import get_incident, tell
from lazaret.kernel.i18n import mark
from lazaret.operations.outcome import Wait

APPROVAL = "approval"
"""What an operation that asks a person waits for."""
QUESTION = mark("{handle} is {condition}. Next would be: {remedy}. {because} Risk: {risk}")
ASKS = mark("asks for approval {approval_id}: {handle} is {condition}. Next would be: {remedy}. {because} Risk: {risk}")
LOOK_MEANWHILE_S = 30.0
"""While nobody answers, the server is looked at again so often."""


async def ask_approval(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """Asks once; every later run looks for the answer."""
    now = ctx.run.clock.now()
    rung = state["rung"]
    async with ctx.run.apply() as (session, _):
        approval = await approval_of(session, ctx.run.operation_id, rung)
        if approval is None:
            approval = await _ask(ctx, session, state)
        elif approval.decision is None and approval.expires_at <= now:
            decide(approval, Decision.EXPIRED, "time", at=now)
            incident = await get_incident(session, ctx.incident_id)
            tell(
                session,
                incident,
                TimelineKind.DECISION,
                "nobody approved {remedy} in time",
                at=now,
                remedy=approval.remedy,
            )
        decision, decided_by, expires_at, why = (
            approval.decision,
            approval.decided_by,
            approval.expires_at,
            approval.why,
        )
    if decision == Decision.APPROVED:
        return Next("act", f"approved by {decided_by}")
    if decision is not None:
        return Next("hand_over", f"{decision} by {decided_by}")
    seen = await look(ctx)
    if seen.is_well:
        await ctx.tell(TimelineKind.OBSERVATION, "it came back while it was asked about: {detail}", detail=seen.detail)
        return Next("restore", "it came back", {"helped_by": "itself"})
    until = min(expires_at, now + timedelta(seconds=LOOK_MEANWHILE_S))
    return Wait(why, asks_for=APPROVAL, until=until)


async def _ask(ctx: HealingContext, session: AsyncSession, state: RecoveryState) -> Approval:
    step = state["ladder"][state["rung"]]
    remedy = Remedy(step["remedy"])
    now = ctx.run.clock.now()
    incident = await get_incident(session, ctx.incident_id)
    values = {
        "handle": ctx.run.handle,
        "condition": state["condition"],
        "remedy": remedy.value,
        "because": step["because"],
        "risk": REMEDIES[remedy].data_risk,
    }
    approval = Approval(
        operation_id=ctx.run.operation_id,
        incident_id=ctx.incident_id,
        server_handle=ctx.run.handle,
        rung=state["rung"],
        remedy=remedy.value,
        why=QUESTION.format(**values),
        asked_at=now,
        expires_at=now + ctx.parts.approval_ttl,
    )
    session.add(approval)
    await session.flush()
    tell(session, incident, TimelineKind.DECISION, ASKS, at=now, approval_id=approval.id, **values)
    notify_admins(
        session,
        QUESTION,
        Level.CRITICAL,
        at=now,
        server_handle=ctx.run.handle,
        operation_id=ctx.run.operation_id,
        incident_id=ctx.incident_id,
        approval_id=approval.id,
        **values,
    )
    return approval
