"""Step: ask a person whether this rung may be climbed. No answer is a no; a server that came back needs no answer."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import is_other_trouble
from lazaret.healing.look import look_until_sure
from lazaret.healing.model import Approval, Decision
from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.choose import came_back
from lazaret.healing.steps.room import cleared, kept_back
from lazaret.healing.steps.step import Next, StepResult, to_a_person
from lazaret.healing.store import approval_of, decide
from lazaret.healing.storms import note_canary
from lazaret.incidents.model import TimelineKind
from lazaret.incidents.store import get_incident, tell
from lazaret.kernel.i18n import mark
from lazaret.operations.outcome import Wait
from lazaret.probing.symptoms import Condition

APPROVAL = "approval"
"""What an operation that asks a person waits for."""
QUESTION = mark("{handle} is {condition}. Next would be: {remedy}. {because} Risk: {risk}")
ASKS = mark("asks for approval {approval_id}: {handle} is {condition}. Next would be: {remedy}. {because} Risk: {risk}")
LOOK_MEANWHILE_S = 30.0
"""While nobody answers, the server is looked at again so often."""


async def ask_approval(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """Asks once; every later run looks for the answer. A yes is for what was asked about: first it is looked again."""
    approval = await _answered(ctx, state)
    if approval.decision not in (None, Decision.APPROVED):
        return to_a_person(f"{approval.remedy} was {approval.decision} by {approval.decided_by}.")
    condition = Condition(state["condition"])
    seen = await look_until_sure(ctx, condition)
    if seen.is_over(condition):
        return await came_back(ctx, state, seen)
    if is_other_trouble(condition, seen.conditions):
        await _withdraw(ctx, state, seen.detail)
        return Next("diagnose", f"it is not what was asked about: {seen.detail}", {"rung": state["rung"] + 1})
    if approval.decision is None:
        until = min(approval.expires_at, ctx.run.clock.now() + timedelta(seconds=LOOK_MEANWHILE_S))
        return Wait(approval.why, asks_for=APPROVAL, until=until)
    return await kept_back(ctx, state) or Next("act", f"approved by {approval.decided_by}", cleared(ctx))


async def _answered(ctx: HealingContext, state: RecoveryState) -> Approval:
    """The question with its answer, if there is one; asked when it was not."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, _):
        approval = await approval_of(session, ctx.run.operation_id, state["rung"])
        if approval is None:
            approval = await _ask(ctx, session, state)
        elif approval.decision is None and approval.expires_at <= now:
            decide(approval, Decision.EXPIRED, "time", at=now)
            incident = await get_incident(session, ctx.incident_id)
            text = mark("nobody approved {remedy} in time")
            tell(session, incident, TimelineKind.DECISION, text, at=now, remedy=approval.remedy)
        return approval


async def _withdraw(ctx: HealingContext, state: RecoveryState, detail: str) -> None:
    """The question, or the yes to it, is for a trouble that is no more."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, _):
        approval = await approval_of(session, ctx.run.operation_id, state["rung"])
        if approval is not None and approval.decision is None:
            decide(approval, Decision.EXPIRED, "the trouble, which changed", at=now)
    text = mark("{remedy} is asked about no more, for the trouble changed: {detail}")
    await ctx.tell(TimelineKind.DECISION, text, remedy=state["ladder"][state["rung"]]["remedy"], detail=detail)


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
    # A storm does not wait for people: another may go first meanwhile.
    await note_canary(session, ctx.run.handle, helped=False, at=now)
    return approval
