"""Whether a rung may be climbed now, and how a recovery waits that may not."""

from datetime import timedelta

from lazaret.healing.context import HealingContext
from lazaret.healing.gate import held_back
from lazaret.healing.model import Approval, Decision
from lazaret.healing.remedy import Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.step import Next, to_a_person
from lazaret.healing.store import approval_of
from lazaret.incidents.model import TimelineKind
from lazaret.incidents.store import newest_of
from lazaret.operations.outcome import Wait

HELD_BACK = "room"
"""What a recovery that is held back waits for."""


async def kept_back(ctx: HealingContext, state: RecoveryState) -> Wait | Next | None:
    """None: this rung may be climbed. Otherwise a wait for what will change by itself, or the hand-over to a person."""
    remedy = Remedy(state["ladder"][state["rung"]]["remedy"])
    async with ctx.run.db.transaction() as session:
        approval = await approval_of(session, ctx.run.operation_id, state["rung"])
    if approval is not None and _is_too_old(ctx, approval):
        return to_a_person(f"{remedy} was approved by {approval.decided_by} too long ago: ask again.")
    reason = await held_back(ctx, remedy)
    if reason is None:
        return None
    return to_a_person(reason.because) if reason.for_a_person else await wait_for_room(ctx, remedy, reason.because)


def _is_too_old(ctx: HealingContext, approval: Approval) -> bool:
    """A yes counts as long as a question does: what the person knew when they gave it may not be so any more."""
    if approval.decision != Decision.APPROVED or approval.decided_at is None:
        return False
    return approval.decided_at + ctx.parts.approval_ttl <= ctx.run.clock.now()


async def wait_for_room(ctx: HealingContext, remedy: Remedy, because: str) -> Wait:
    """Held back: say so once in the timeline, and look again soon, for the reason may go or the server come back."""
    why = f"{remedy} is held back: {because}"
    async with ctx.run.db.transaction() as session:
        newest = await newest_of(session, ctx.incident_id, limit=1)
    if not newest or newest[0].message != ctx.run.redactor.clean(why):
        await ctx.tell(TimelineKind.DECISION, why)
    until = ctx.run.clock.now() + timedelta(seconds=ctx.parts.look_again_s)
    return Wait(why, asks_for=HELD_BACK, until=until)
