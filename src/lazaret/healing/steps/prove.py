"""Steps: prove the effect of a rung with the eyes that opened the incident, and bring back what ran there."""

from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import is_other_trouble
from lazaret.healing.gate import hands_off, held_back_from_putting_back
from lazaret.healing.look import Look, look, look_until_sure
from lazaret.healing.model import DONE, RemedyOutcome
from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.room import cleared, wait_for_room
from lazaret.healing.steps.step import IT_ANSWERS_UNPROVED, Next, StepResult, looked, to_a_person
from lazaret.healing.store import end_remedy, remedies_for
from lazaret.incidents.model import UNPROVED, TimelineKind
from lazaret.probing.verdict import Condition

LOOK_S = 2.0
"""Between two looks while an effect is waited for."""
FIREWALL_IS_BACK = frozenset({Remedy.REBOOT.value, Remedy.PROVISION_AGAIN.value, Remedy.REINSTALL.value})
"""The remedies that load the firewall's rules again."""


async def prove(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """Well: what ran there is brought back. Not well in time: the next rung, or another plan for other trouble."""
    rung = state["rung"]
    remedy = Remedy(state["ladder"][rung]["remedy"])
    condition = Condition(state["condition"])
    seen = await _await_effect(ctx, condition, remedy)
    now = ctx.run.clock.now()
    outcome = RemedyOutcome.HELPED if seen.is_over(condition) else RemedyOutcome.NO_EFFECT
    async with ctx.run.apply() as (session, operation):
        await end_remedy(session, operation.id, rung, outcome, seen.detail, at=now)
    if outcome is RemedyOutcome.HELPED:
        await ctx.tell(TimelineKind.OBSERVATION, "{remedy} helped: {detail}", remedy=remedy, detail=seen.detail)
        if (await ctx.incident()).details.get(UNPROVED):
            return to_a_person(IT_ANSWERS_UNPROVED)
        return Next("restore", f"{remedy} helped", {"helped_by": remedy.value})
    await ctx.tell(TimelineKind.OBSERVATION, "{remedy} did not help: {detail}", remedy=remedy, detail=seen.detail)
    to = "diagnose" if is_other_trouble(condition, seen.conditions) else "choose"
    return Next(to, f"{remedy} did not help", {"rung": rung + 1, **looked(ctx, seen)})


async def _await_effect(ctx: HealingContext, condition: Condition, remedy: Remedy) -> Look:
    """Look until it is over, or the remedy's time is."""
    deadline = ctx.run.clock.monotonic() + REMEDIES[remedy].deadline_s * ctx.parts.patience
    while True:
        seen = await look(ctx)
        if seen.is_over(condition):
            return seen
        if ctx.run.clock.monotonic() >= deadline:
            return await look_until_sure(ctx, condition, seen)
        await ctx.run.clock.sleep(LOOK_S)


async def restore(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """The firewall as it was, and the services in their order, each with its health check; held back as a remedy is."""
    if await _is_flushed(ctx):
        reason = await held_back_from_putting_back(ctx)
        if reason is None:
            return _converge(ctx, state)
        if not reason.for_a_person:
            return await wait_for_room(ctx, Remedy.PROVISION_AGAIN, reason.because)
    redeployer = ctx.parts.provisioning.redeployer
    async with ctx.run.db.transaction() as session:
        has_services = await redeployer.has_services(session, ctx.run.handle)
    if not has_services:
        return Next("close", "no services to bring back")
    reason = await hands_off(ctx)
    if reason is not None and reason.for_a_person:
        return Next("close", f"services are left as they are: {reason.because}")
    if reason is not None:
        return await wait_for_room(ctx, Remedy.RESTART_SERVICE, reason.because)
    names = await redeployer.redeploy(ctx.run, ctx.run.handle)
    async with ctx.run.apply() as (_, operation):
        operation.result = {**operation.result, "services_redeployed": names}
    for name in names:
        await ctx.tell(TimelineKind.OBSERVATION, "the service {name} is back", name=name)
    return Next("close", f"services brought back: {', '.join(names) or 'none'}")


def _converge(ctx: HealingContext, state: RecoveryState) -> Next:
    """A flushed packet filter protects nothing: the server is set up again, which leaves its data alone."""
    rung = {
        "remedy": Remedy.PROVISION_AGAIN.value,
        "needs_approval": False,
        "because": "The provider dropped the packet filter's rules: they are put back.",
    }
    ladder = [*state["ladder"][: state["rung"] + 1], rung]
    return Next("act", "the firewall is put back", {"ladder": ladder, "rung": len(ladder) - 1, **cleared(ctx)})


async def _is_flushed(ctx: HealingContext) -> bool:
    """Whether this recovery flushed the packet filter, whatever helped in the end, and nothing puts it back since.

    Setting up again counts as soon as it was begun, unless it was left undone: it is not begun for ever. What it left
    off, the monitor tells of.
    """
    async with ctx.run.db.transaction() as session:
        rows = [row for row in await remedies_for(session, ctx.incident_id) if row.operation_id == ctx.run.operation_id]
    left = RemedyOutcome.NOT_NEEDED
    done = [r.remedy for r in rows if r.outcome in DONE or (r.remedy == Remedy.PROVISION_AGAIN and r.outcome != left)]
    return Remedy.FLUSH_FIREWALL in done and FIREWALL_IS_BACK.isdisjoint(done[done.index(Remedy.FLUSH_FIREWALL) :])
