"""Step: what is wrong now, and which ladder follows. A server that came back needs none."""

from sqlalchemy import select

from lazaret.healing.agreement import await_agreement
from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import Facts, Plan, plan_for
from lazaret.healing.incidents_of import LOST_TYPES
from lazaret.healing.look import Look, look_until_sure
from lazaret.healing.remedy import Remedy
from lazaret.healing.state import PlannedStep, RecoveryState
from lazaret.healing.steps.step import Next, StepResult, looked, to_a_person
from lazaret.healing.store import remedies_for, senses_that_agree
from lazaret.incidents.model import UNPROVED, TimelineKind
from lazaret.kernel.errors import LazaretError
from lazaret.operations.calls import CLOCK_SLACK
from lazaret.operations.model import CallState, ProviderCall
from lazaret.probing.store import health_by_the_living
from lazaret.probing.verdict import Condition
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability
from lazaret.servers.store import get_server


async def diagnose(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """The plan for what is seen now; what was seen when the incident was opened, or planned for, may have changed."""
    seen = await look_until_sure(ctx)
    incident = await ctx.incident()
    async with ctx.run.db.transaction() as session:
        flapping = any(
            row.is_flapping for row in await health_by_the_living(session, ctx.run.handle, at=ctx.run.clock.now())
        )
        begun = {
            Remedy(r.remedy)
            for r in await remedies_for(session, ctx.incident_id)
            if r.operation_id == ctx.run.operation_id
        }
    if seen.is_well and flapping and incident.incident_type in LOST_TYPES:
        return to_a_person("It answers now, and it comes and goes: nothing is done until it was quiet for a while.")
    if seen.is_well and incident.details.get(UNPROVED):
        return to_a_person(
            "It answers, and what was set up anew could not be proved. "
            f"Set it up again: lazaret provision {ctx.run.handle}"
        )
    if seen.is_well and (instead := await await_agreement(ctx, state, incident, seen)) is not None:
        return instead
    if seen.is_well:
        await ctx.tell(TimelineKind.OBSERVATION, "it came back by itself: {detail}", detail=seen.detail)
        return Next("restore", "it came back by itself", {"helped_by": "itself"})
    condition = _condition(seen, incident.cause)
    facts = await _facts(ctx, condition, frozenset(begun))
    plan = plan_for(condition, facts)
    done = state["ladder"][: state["rung"]]
    ahead = [PlannedStep(remedy=r.remedy.value, needs_approval=r.needs_approval, because=r.because) for r in plan.rungs]
    names = ", then ".join(f"{r.remedy}{' (asks first)' if r.needs_approval else ''}" for r in plan.rungs)
    await ctx.tell(
        TimelineKind.DECISION,
        "diagnosis: {condition} ({detail}). Plan: {plan}. {because}",
        condition=condition,
        detail=seen.detail,
        plan=names,
        because=plan.because,
    )
    await _tell_what_is_left_out(ctx, plan)
    return Next(
        "choose",
        f"{condition}: {names}",
        {"condition": condition.value, "ladder": [*done, *ahead], "rung": len(done), **looked(ctx, seen)},
    )


async def _tell_what_is_left_out(ctx: HealingContext, plan: Plan) -> None:
    """One line for each reason, so that nobody waits for a rung that never comes."""
    if not plan.left_out:
        return
    provider = (await ctx.steps.snapshot()).provider.name
    for because in dict.fromkeys(one.because for one in plan.left_out):
        remedies = ", ".join(one.remedy for one in plan.left_out if one.because == because)
        await ctx.tell(
            TimelineKind.DECISION,
            "left out with the provider {provider}: {remedies}. {because}",
            provider=provider,
            remedies=remedies,
            because=because,
        )


def _condition(seen: Look, cause: str) -> Condition:
    """The condition that the incident is about if it is still seen, else the first that is."""
    known = Condition(cause) if cause in list(Condition) else None
    if known in seen.conditions:
        assert known is not None
        return known
    if known is Condition.FILTERED and not seen.can_log_in:
        return known
    return min(seen.conditions)


async def _facts(ctx: HealingContext, condition: Condition, tried: frozenset[Remedy]) -> Facts:
    snapshot = await ctx.steps.snapshot()
    async with ctx.run.db.transaction() as session:
        server = await get_server(session, ctx.run.handle)
        has_services = await ctx.parts.provisioning.redeployer.has_services(session, ctx.run.handle)
        health = await health_by_the_living(session, ctx.run.handle, at=ctx.run.clock.now())
        policy = RebuildPolicy(server.rebuild_policy)
    return Facts(
        capabilities=frozenset(snapshot.provider.capabilities),
        rebuild_policy=policy,
        has_services=has_services,
        services_answer=await ctx.parts.doors.answer(
            ctx.run.handle, snapshot.endpoint.address, handshake_counts=condition is not Condition.NO_BANNER
        ),
        provider_says_reinstalled_by_others=(
            condition is Condition.HOST_KEY_CHANGED and await _reinstalled_by_others(ctx)
        ),
        senses_agree=senses_that_agree(health),
        flapping=any(row.is_flapping for row in health),
        tried=tried,
    )


async def _reinstalled_by_others(ctx: HealingContext) -> bool:
    """Whether the provider tells of a reinstall, after our pin, that we did not ask for. No host can forge that."""
    snapshot = await ctx.steps.snapshot()
    name = snapshot.provider.task_names.get(Capability.REINSTALL)
    if name is None:
        return False
    try:
        details = await snapshot.provider.get_server(snapshot.target.provider_id, fresh=True)
    except LazaretError:
        return False
    async with ctx.run.db.transaction() as session:
        server = await get_server(session, ctx.run.handle)
        ours = await session.scalars(
            select(ProviderCall.intended_at).where(
                ProviderCall.server_handle == ctx.run.handle,
                ProviderCall.action.startswith(Capability.REINSTALL.value),
                ProviderCall.state == CallState.SENT.value,
            )
        )
        known = list(ours)
        pinned_at = server.provisioned_at
    for task in details.last_tasks:
        began = task.activated_at or task.completed_at
        if task.name != name or began is None or pinned_at is None or began < pinned_at:
            continue
        if not any(abs(began - mine) <= CLOCK_SLACK for mine in known):
            return True
    return False
