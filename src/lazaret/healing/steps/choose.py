"""Step: the next rung of the ladder, unless the server came back or something holds the recovery back."""

from datetime import datetime

from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import is_other_trouble
from lazaret.healing.evidence import gather_evidence
from lazaret.healing.look import Look, look_until_sure
from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.room import cleared, kept_back, lacks_a_yes
from lazaret.healing.steps.step import IT_ANSWERS_UNPROVED, Next, StepResult, to_a_person
from lazaret.healing.store import remedy_of
from lazaret.incidents.model import UNPROVED, TimelineKind
from lazaret.probing.verdict import Condition

FRESH_S = 3.0


async def choose(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """Look first: late recovery cancels what was not begun."""
    rung = state["rung"]
    if await _is_at_work(ctx, rung):
        return Next("act", "goes on with what was begun")
    can_log_in = state["can_log_in"]
    if not _is_fresh(ctx, state["looked_at"]):
        condition = Condition(state["condition"])
        seen = await look_until_sure(ctx, condition)
        can_log_in = seen.can_log_in
        if seen.is_over(condition):
            return await came_back(ctx, state, seen)
        if is_other_trouble(condition, seen.conditions):
            # A rung of its own, as in `ask_approval`: what was asked about this one is not about the next plan's.
            return Next("diagnose", f"it is not what it was: {seen.detail}", {"rung": rung + 1})
    if rung >= len(state["ladder"]):
        return to_a_person("The ladder is at its end.")
    step = state["ladder"][rung]
    if Remedy(step["remedy"]) is Remedy.HUMAN:
        return to_a_person(step["because"])
    return await _climb(ctx, state, can_log_in=can_log_in)


async def _climb(ctx: HealingContext, state: RecoveryState, *, can_log_in: bool) -> StepResult:
    if (instead := await kept_back(ctx, state)) is not None:
        return instead
    step = state["ladder"][state["rung"]]
    remedy = Remedy(step["remedy"])
    if REMEDIES[remedy].needs_evidence and can_log_in:
        await ctx.tell(TimelineKind.ATTEMPT, await gather_evidence(ctx))
    to = "ask_approval" if await lacks_a_yes(ctx, state) else "act"
    return Next(to, f"{remedy}: {step['because']}", cleared(ctx))


async def came_back(ctx: HealingContext, state: RecoveryState, seen: Look) -> Next:
    """Late recovery cancels what was not begun; what was begun on the server itself must be proved."""
    if (await ctx.incident()).details.get(UNPROVED):
        return to_a_person(IT_ANSWERS_UNPROVED)
    await ctx.tell(TimelineKind.OBSERVATION, "it came back before anything more was done: {detail}", detail=seen.detail)
    return Next("restore", "it came back", {"helped_by": state["helped_by"] or "itself"})


def _is_fresh(ctx: HealingContext, looked_at: str) -> bool:
    """Whether the step before has just looked: then looking again tells nothing new and costs time."""
    if not looked_at:
        return False
    return (ctx.run.clock.now() - datetime.fromisoformat(looked_at)).total_seconds() < FRESH_S


async def _is_at_work(ctx: HealingContext, rung: int) -> bool:
    async with ctx.run.db.transaction() as session:
        begun = await remedy_of(session, ctx.run.operation_id, rung)
        return begun is not None and begun.ended_at is None
