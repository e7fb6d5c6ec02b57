"""Whether a rung may be climbed now, and how a recovery waits that may not."""

from datetime import datetime, timedelta

from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import reinstall_asks
from lazaret.healing.gate import held_back
from lazaret.healing.model import Approval, Decision
from lazaret.healing.remedy import Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.step import Next, to_a_person
from lazaret.healing.store import approval_of, senses_that_agree
from lazaret.incidents.model import TimelineKind
from lazaret.incidents.store import newest_of
from lazaret.operations.outcome import HELD_BACK, Wait
from lazaret.probing.store import health_by_the_living
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.store import get_server

CLEARED_S = 30.0
"""A rung that was cleared longer ago than this is looked at anew before it is begun: its worker was away meanwhile."""


async def kept_back(ctx: HealingContext, state: RecoveryState) -> Wait | Next | None:
    """None: this rung may be climbed. Otherwise a wait for what will change by itself, or the hand-over to a person."""
    remedy = Remedy(state["ladder"][state["rung"]]["remedy"])
    async with ctx.run.db.transaction() as session:
        approval = await approval_of(session, ctx.run.operation_id, state["rung"])
        policy = (await get_server(session, ctx.run.handle)).rebuild_policy
    if approval is not None and approval.remedy != remedy:
        return to_a_person(f"Question {approval.id} was about {approval.remedy}, and {remedy} would be next.")
    if approval is not None and _is_too_old(ctx, approval):
        return to_a_person(f"{remedy} was approved by {approval.decided_by} too long ago: ask again.")
    if remedy is Remedy.REINSTALL and policy == RebuildPolicy.NEVER:
        return to_a_person(f"No recovery may reinstall {ctx.run.handle}: its rebuild policy is never.")
    reason = await held_back(ctx, remedy)
    if reason is None:
        return None
    return to_a_person(reason.because) if reason.for_a_person else await wait_for_room(ctx, remedy, reason.because)


async def lacks_a_yes(ctx: HealingContext, state: RecoveryState) -> bool:
    """Whether this rung needs a yes that nobody gave. What is erased is decided by what is true now, not by the plan:
    policy and senses may have changed while the recovery waited."""
    step = state["ladder"][state["rung"]]
    async with ctx.run.db.transaction() as session:
        approval = await approval_of(session, ctx.run.operation_id, state["rung"])
        if approval is not None and approval.decision == Decision.APPROVED:
            return False
        if step["needs_approval"] or Remedy(step["remedy"]) is not Remedy.REINSTALL:
            return step["needs_approval"]
        policy = RebuildPolicy((await get_server(session, ctx.run.handle)).rebuild_policy)
        health = await health_by_the_living(session, ctx.run.handle, at=ctx.run.clock.now())
    return reinstall_asks(policy, senses_that_agree(health))


def cleared(ctx: HealingContext) -> dict[str, str]:
    """What the state remembers of a rung that may be climbed."""
    return {"cleared_at": ctx.run.clock.now().isoformat()}


def is_still_cleared(ctx: HealingContext, state: RecoveryState) -> bool:
    """Whether the rung was cleared just now, and nothing can have changed meanwhile."""
    at = state.get("cleared_at")
    return bool(at) and 0 <= (ctx.run.clock.now() - datetime.fromisoformat(at)).total_seconds() <= CLEARED_S


def _is_too_old(ctx: HealingContext, approval: Approval) -> bool:
    """A yes counts as long as a question does: what the person knew when they gave it may not be so any more."""
    if approval.decision != Decision.APPROVED or approval.decided_at is None:
        return False
    return approval.decided_at + ctx.parts.approval_ttl <= ctx.run.clock.now()


async def wait_for_room(ctx: HealingContext, remedy: Remedy, because: str) -> Wait:
    """Held back: say so once in the timeline, and look again soon, for the reason may go or the server come back."""
    why = f"{remedy} is held back: {because}"
    await said_since(ctx, why)
    return look_again_soon(ctx, why)


async def said_since(ctx: HealingContext, why: str) -> datetime:
    """Since when the newest line of the timeline says this: now, where it did not, and then it does."""
    async with ctx.run.db.transaction() as session:
        newest = await newest_of(session, ctx.incident_id, limit=1)
    if newest and newest[0].message == ctx.run.redactor.clean(why):
        return newest[0].at
    await ctx.tell(TimelineKind.DECISION, why)
    return ctx.run.clock.now()


def look_again_soon(ctx: HealingContext, why: str) -> Wait:
    """The wait of a recovery that looks again by itself."""
    until = ctx.run.clock.now() + timedelta(seconds=ctx.parts.look_again_s)
    return Wait(why, asks_for=HELD_BACK, until=until)
