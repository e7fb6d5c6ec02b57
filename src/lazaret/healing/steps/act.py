"""Step: climb one rung. The budget is spent before the act; a provider call is made at most once, whatever crashes."""

from collections.abc import Collection
from dataclasses import replace

from lazaret.healing.acts import ACTS
from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import is_other_trouble
from lazaret.healing.look import look_until_sure
from lazaret.healing.model import RemedyOutcome, RemedyRun
from lazaret.healing.remedy import Remedy
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.room import is_still_cleared, kept_back, lacks_a_yes, wait_for_room
from lazaret.healing.steps.step import Next, StepResult, to_a_person
from lazaret.healing.store import end_remedy, recoveries_in_flight, remedy_of
from lazaret.incidents.model import UNPROVED, IncidentStatus, TimelineKind
from lazaret.incidents.store import change_incident, get_incident, lock_fleet, tell
from lazaret.kernel import audit
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.i18n import mark
from lazaret.operations.calls import was_made
from lazaret.operations.outcome import Done, GiveUp, Retry, Wait
from lazaret.operations.store import steps_of
from lazaret.probing.symptoms import Condition
from lazaret.provisioning.context import StepContext
from lazaret.provisioning.passwords import forget_password
from lazaret.servers import store as servers
from lazaret.servers.guard import OnHold
from lazaret.servers.provider import Capability, ProviderBusy
from lazaret.servers.status import Party, ServerStatus, StatusEvent

CALLS = {
    Remedy.FLUSH_FIREWALL: Capability.FLUSH_FIREWALL,
    Remedy.REBOOT: Capability.REBOOT,
    Remedy.REINSTALL: Capability.REINSTALL,
}
"""The remedies that are a call to the provider, which nothing takes back."""
COMMANDS = frozenset(ACTS) - frozenset(CALLS)
"""The remedies that run a command on the server: whether a dead worker's was run nobody can tell."""
HANDS_ON = frozenset({"install_access_key", "converge"})
"""The steps of provisioning that lay hands on the system that is there."""
CHANGING_STEPS = frozenset({"reinstall", "reset_password", "install_access_key", "converge"})
"""The steps of provisioning from which on a server is not what it was."""
TRIES = 3
"""Attempts within one rung."""


async def act(ctx: HealingContext, state: RecoveryState) -> StepResult:
    """Do what the rung says; then its effect is proved, or the next rung is chosen."""
    remedy = Remedy(state["ladder"][state["rung"]]["remedy"])
    scoped = replace(ctx, run=replace(ctx.run, scope=f"rung{state['rung']}"))
    if (instead := await _before_it(scoped, state, remedy)) is not None:
        return instead
    try:
        return await _do(scoped, state, remedy)
    except OnHold:
        raise  # no failure of the rung: it waits
    except ProviderBusy as error:
        return await wait_for_room(ctx, remedy, error.message)
    except LazaretError as error:
        if error.retryable and await _tries(ctx, state["rung"]) < TRIES:
            return Retry(error)
        return await _next_rung(ctx, state, f"{error.message} {error.hint}".strip())


async def _before_it(ctx: HealingContext, state: RecoveryState, remedy: Remedy) -> StepResult | None:
    """None: the rung has begun, its budget is spent, and it is to be climbed."""
    rung = state["rung"]
    if await _has_begun(ctx, rung):
        if await _tries(ctx, rung) > TRIES and not (remedy in CALLS and await was_made(ctx.run, CALLS[remedy])):
            return await _set_up_failed(ctx, state, f"{remedy} took too long each time.")
        return await _still_needed(ctx, state, remedy)
    if not is_still_cleared(ctx, state):
        return Next("choose", "it was decided a while ago, and is looked at anew")
    if not await _spend(ctx, rung, remedy, state["ladder"][rung]["because"]):
        return Next("choose", "another recovery took the last room")
    return None


async def _do(ctx: HealingContext, state: RecoveryState, remedy: Remedy) -> StepResult:
    if remedy not in ACTS:
        return await _set_up(ctx, state, remedy)
    detail = await ACTS[remedy](ctx)
    await ctx.tell(TimelineKind.ATTEMPT, "{remedy}: {detail}", remedy=remedy, detail=detail)
    return Next("prove", detail)


async def _has_begun(ctx: HealingContext, rung: int) -> bool:
    async with ctx.run.db.transaction() as session:
        return await remedy_of(session, ctx.run.operation_id, rung) is not None


async def _still_needed(ctx: HealingContext, state: RecoveryState, remedy: Remedy) -> StepResult | None:
    """None: go on. A worker that died or was restarted may have begun this long ago: before what was not done yet, the
    server and what may hold us back are looked at again.

    What was sent to the provider is waited for; setting up looks by itself, step by step. Whether a command on the
    server was run nobody can tell: when the trouble is not there any more, that is for `prove` to say.
    """
    if await _has_touched_it(ctx, state["rung"], remedy):
        return None
    condition = Condition(state["condition"])
    seen = await look_until_sure(ctx, condition)
    if remedy in COMMANDS and condition not in seen.conditions:
        return Next("prove", "what was begun is not needed any more, or has helped")
    if seen.is_over(condition):
        await _leave_undone(ctx, state, remedy, mark("{remedy} was not needed any more: {detail}"), seen.detail)
        return Next("restore", f"{remedy} was not needed any more", {"helped_by": "itself"})
    if is_other_trouble(condition, seen.conditions):
        await _leave_undone(ctx, state, remedy, mark("{remedy} is not for what is seen now: {detail}"), seen.detail)
        return Next("choose", "it is not what was to be mended", {"rung": state["rung"] + 1})
    instead = await kept_back(ctx, state)
    if instead is None and await lacks_a_yes(ctx, state):
        instead = to_a_person(f"{remedy} would need a yes now, for what was true when it began is so no more.")
    if isinstance(instead, Next):
        await _failed(ctx, state, instead.detail)
    return instead


async def _has_touched_it(ctx: HealingContext, rung: int, remedy: Remedy) -> bool:
    """Whether the rung has done what it is about, or has begun to: a call that was sent, a set-up past its looking."""
    if remedy in CALLS:
        return await was_made(ctx.run, CALLS[remedy])
    if remedy is not Remedy.PROVISION_AGAIN:
        return False
    return await was_made(ctx.run, Capability.RESET_PASSWORD) or await _has_run(ctx, rung, HANDS_ON)


async def _leave_undone(ctx: HealingContext, state: RecoveryState, remedy: Remedy, text: str, detail: str) -> None:
    """What was begun and not yet sent is not sent."""
    async with ctx.run.apply() as (session, operation):
        now = ctx.run.clock.now()
        await end_remedy(session, operation.id, state["rung"], RemedyOutcome.NOT_NEEDED, detail, at=now)
    await _mark_failed(ctx, f"{remedy} was not done")
    await ctx.tell(TimelineKind.OBSERVATION, text, remedy=remedy, detail=detail)


async def _set_up(ctx: HealingContext, state: RecoveryState, remedy: Remedy) -> StepResult:
    """Hand over to the workflow of provisioning, which proves its own effect and redeploys the services."""
    if remedy is Remedy.REINSTALL and not await was_made(ctx.run, Capability.REINSTALL):
        # A password of the system that goes would be taken for the new one.
        await forget_password(StepContext(ctx.run, ctx.parts.provisioning), why="the system is to be reinstalled")
    async with ctx.run.apply() as (_, operation):
        operation.params = {**operation.params, "reinstall": remedy is Remedy.REINSTALL, "converge": True}
    outcome = await ctx.provisioning.advance(ctx.run)
    match outcome:
        case Done():
            await _note_unproved(ctx, unproved=False)
            await ctx.tell(TimelineKind.ATTEMPT, "{remedy}: set up and proved", remedy=remedy)
            return Next("prove", f"{remedy} is done", {"helped_by": remedy.value})
        case Wait():
            return outcome
        case Retry(error=ProviderBusy() as busy):
            return await wait_for_room(ctx, remedy, busy.message)
        case Retry() if await _tries(ctx, state["rung"]) < TRIES:
            return outcome
        case Retry(error=error) | GiveUp(error=error):
            return await _set_up_failed(ctx, state, f"{error.message} {error.hint}".strip())
    raise AssertionError(f"a workflow returned {outcome!r}")


async def _set_up_failed(ctx: HealingContext, state: RecoveryState, why: str) -> Next:
    """A set-up that nobody answered has changed nothing; any other is not proved, whatever answers later."""
    await _mark_failed(ctx, why)
    if await _has_run(ctx, state["rung"], CHANGING_STEPS):
        await _note_unproved(ctx, unproved=True)
    return await _next_rung(ctx, state, why)


async def _has_run(ctx: HealingContext, rung: int, names: Collection[str]) -> bool:
    """Whether one of these steps was begun since this rung was."""
    async with ctx.run.db.transaction() as session:
        begun = await remedy_of(session, ctx.run.operation_id, rung)
        steps = await steps_of(session, ctx.run.operation_id)
    return begun is not None and any(step.name in names and step.started_at >= begun.begun_at for step in steps)


async def _note_unproved(ctx: HealingContext, *, unproved: bool) -> None:
    async with ctx.run.apply() as (session, _):
        incident = await get_incident(session, ctx.incident_id, for_update=True)
        incident.details = {**incident.details, UNPROVED: unproved}


async def _mark_failed(ctx: HealingContext, why: str) -> None:
    """What was begun and could not be proved is not in order, whatever answers."""
    async with ctx.run.apply() as (session, operation):
        server = await servers.get_server(session, ctx.run.handle, for_update=True)
        if server.status == ServerStatus.PROVISIONING:
            servers.change_status(
                session,
                server,
                StatusEvent.PROVISIONING_FAILED,
                Party.WORKER,
                actor=audit.WORKER,
                at=ctx.run.clock.now(),
                reason=ctx.run.redactor.clean(why),
                operation_id=operation.id,
            )


async def _spend(ctx: HealingContext, rung: int, remedy: Remedy, because: str) -> bool:
    """The row that is the budget, once per rung. False: no room is left.

    Room was there when the rung was chosen; who takes it is decided here, one at a time.
    """
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, operation):
        if await remedy_of(session, operation.id, rung) is not None:
            return True
        await lock_fleet(session)
        if await recoveries_in_flight(session, except_operation=operation.id) >= ctx.parts.limits.in_flight:
            return False
        session.add(
            RemedyRun(
                operation_id=operation.id,
                incident_id=ctx.incident_id,
                server_handle=ctx.run.handle,
                rung=rung,
                remedy=remedy.value,
                because=because,
                begun_at=now,
            )
        )
        incident = await change_incident(session, ctx.incident_id, IncidentStatus.RECOVERING, audit.WORKER, at=now)
        incident.recovery_attempts += 1
        tell(
            session,
            incident,
            TimelineKind.ATTEMPT,
            "begins: {remedy}. {because}",
            at=now,
            remedy=remedy,
            because=because,
        )
        audit.record(
            session,
            audit.WORKER,
            f"remedy.{remedy}",
            f"server:{ctx.run.handle}",
            at=now,
            operation_id=operation.id,
            incident_id=ctx.incident_id,
            because=because,
        )
    return True


async def _tries(ctx: HealingContext, rung: int) -> int:
    """How often a step of this rung has already been put off."""
    async with ctx.run.db.transaction() as session:
        begun = await remedy_of(session, ctx.run.operation_id, rung)
        steps = await steps_of(session, ctx.run.operation_id)
    if begun is None:
        return 0
    return (
        sum(step.name == "act" and step.status == "retry" and step.started_at >= begun.begun_at for step in steps) + 1
    )


async def _next_rung(ctx: HealingContext, state: RecoveryState, why: str) -> Next:
    await _failed(ctx, state, why)
    return Next("choose", ctx.run.redactor.clean(why), {"rung": state["rung"] + 1})


async def _failed(ctx: HealingContext, state: RecoveryState, why: str) -> None:
    text = ctx.run.redactor.clean(why)
    async with ctx.run.apply() as (session, operation):
        await end_remedy(session, operation.id, state["rung"], RemedyOutcome.FAILED, text, at=ctx.run.clock.now())
    remedy = state["ladder"][state["rung"]]["remedy"]
    await ctx.tell(TimelineKind.ATTEMPT, "{remedy} failed: {error}", remedy=remedy, error=text)
