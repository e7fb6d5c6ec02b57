"""The provisioning graph: which step follows which, on LangGraph with its PostgreSQL checkpointer.

A node is a step with its deadline. What does not advance leaves the graph at that node, and the next run resumes
there: a wait for a person as an interrupt, a retry or a crash by running the node again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command, StateSnapshot, interrupt

from lazaret.operations.outcome import Advance, Done, GiveUp, Outcome, Retry, Wait
from lazaret.operations.run import OperationRun, run_step
from lazaret.operations.store import get_operation
from lazaret.provisioning.context import Limits, Parts, StepContext
from lazaret.provisioning.state import ProvisioningState
from lazaret.provisioning.steps.converge import converge
from lazaret.provisioning.steps.install_access_key import install_access_key
from lazaret.provisioning.steps.load_details import load_details
from lazaret.provisioning.steps.mark_ready import mark_ready, redeploy_services
from lazaret.provisioning.steps.reinstall import reinstall, wait_for_reinstall
from lazaret.provisioning.steps.reset_password import reset_password, wait_for_password
from lazaret.provisioning.steps.try_access_key import try_access_key
from lazaret.provisioning.steps.verify import verify
from lazaret.provisioning.steps.wait_for_ssh import pin_host_key, wait_for_ssh

SLACK_S = 60.0
"""A step's own deadline is so much longer than what it waits for: the inner limit speaks first."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node: what it does, how long it may take, and where it may lead; the first route is the usual one."""

    action: Callable[[StepContext], Awaitable[Outcome]]
    deadline_s: Callable[[Limits], float]
    routes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.action.__name__


def _short(_: Limits) -> float:
    return 120.0


def _for_every_service(_: Limits) -> float:
    """Each has a limit of its own; this one is for a step that hangs."""
    return 3600.0


STEPS: tuple[Step, ...] = (
    Step(load_details, _short, ("try_access_key", "reinstall")),
    Step(try_access_key, _short, ("converge", "verify", "reset_password", "wait_for_ssh")),
    Step(reinstall, lambda limits: limits.reinstall_s + SLACK_S, ("wait_for_reinstall",)),
    Step(wait_for_reinstall, lambda limits: limits.reinstall_s + SLACK_S, ("wait_for_ssh", "reset_password")),
    Step(reset_password, lambda limits: limits.password_reset_s + SLACK_S, ("wait_for_password", "wait_for_ssh")),
    Step(wait_for_password, lambda limits: limits.password_reset_s + SLACK_S, ("wait_for_ssh",)),
    Step(wait_for_ssh, lambda limits: limits.ssh_s + SLACK_S, ("pin_host_key",)),
    Step(pin_host_key, _short, ("install_access_key",)),
    Step(install_access_key, _short, ("converge", "reset_password")),
    Step(converge, lambda limits: limits.converge_s + SLACK_S, ("verify",)),
    Step(verify, _short, ("redeploy_services", "converge")),
    Step(redeploy_services, _for_every_service, ("mark_ready",)),
    Step(mark_ready, _short, (END,)),
)


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What a node gets besides the state; it is never checkpointed."""

    run: OperationRun
    parts: Parts


class Paused(Exception):
    """A step did not advance."""

    def __init__(self, outcome: Retry | GiveUp) -> None:
        super().__init__(type(outcome).__name__)
        self.outcome = outcome


def build_graph(
    checkpointer: BaseCheckpointSaver[str] | None,
) -> CompiledStateGraph[ProvisioningState, NodeContext, ProvisioningState, ProvisioningState]:
    """The compiled graph."""
    graph = StateGraph(ProvisioningState, context_schema=NodeContext)
    for step in STEPS:
        graph.add_node(step.name, _node(step), destinations=step.routes)
    graph.add_edge(START, STEPS[0].name)
    return graph.compile(checkpointer=checkpointer)


def _node(step: Step) -> Callable[..., Awaitable[Command[str]]]:
    async def node(_: ProvisioningState, runtime: Runtime[NodeContext]) -> Command[str]:
        ctx = StepContext(runtime.context.run, runtime.context.parts)
        deadline_s = step.deadline_s(ctx.parts.limits)
        outcome = await run_step(ctx.run, step.name, lambda: step.action(ctx), deadline_s=deadline_s)
        match outcome:
            case Advance(to=to):
                target = to or step.routes[0]
                assert target in step.routes, f"{step.name} has no route to {target}"
                return Command(goto=target)
            case Done(result=result):
                return Command(goto=END, update={"provisioning_result": result})
            case Wait():
                pause(outcome, ctx.run)
            case Retry() | GiveUp():
                raise Paused(outcome)

    return node


def pause(wait: Wait, run: OperationRun) -> NoReturn:
    """Leave the graph here. Answers to earlier waits return at once and say nothing: the step has just looked."""
    until = wait.until.isoformat() if wait.until else None
    while True:
        interrupt({"why": run.redactor.clean(wait.why), "asks_for": wait.asks_for, "until": until})


class ProvisioningWorkflow:
    """Runs the graph for one operation; fulfils `operations.run.Workflow`."""

    def __init__(self, parts: Parts, checkpointer: BaseCheckpointSaver[str]) -> None:
        self._parts = parts
        self._graph = build_graph(checkpointer)

    async def advance(self, run: OperationRun) -> Outcome:
        """Begin, or go on where the checkpoint stands."""
        thread = f"{run.operation_id}.{run.scope}" if run.scope else str(run.operation_id)
        config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": 60}
        checkpoint = await self._graph.aget_state(config)
        if checkpoint.values.get("provisioning_result") and not checkpoint.next:
            return Done("provisioned", result=checkpoint.values["provisioning_result"])  # died before saying so
        entry = resumption(checkpoint) if checkpoint.next else await self._first_state(run)
        try:
            result = await self._graph.ainvoke(entry, config, context=NodeContext(run, self._parts), durability="sync")
        except Paused as paused:
            return paused.outcome
        if waiting := result.get("__interrupt__"):
            return wait_of(waiting[0].value)
        return Done("provisioned", result=result.get("provisioning_result", {}))

    async def _first_state(self, run: OperationRun) -> ProvisioningState:
        async with run.db.transaction() as session:
            operation = await get_operation(session, run.operation_id)
        return ProvisioningState(
            operation_id=run.operation_id,
            server_to_provision=run.handle,
            is_incident_recovery=operation.params.get("is_incident_recovery") is True,
            provisioning_result={},
        )


def resumption(checkpoint: StateSnapshot) -> Command[str] | None:
    """What to call the graph with to go on: an answer where it waits, nothing new where it stopped."""
    waits = any(task.interrupts for task in checkpoint.tasks)
    return Command(resume="look again") if waits else None


def wait_of(value: dict[str, Any]) -> Wait:
    until = value.get("until")
    return Wait(value["why"], value["asks_for"], datetime.fromisoformat(until) if until else None)
