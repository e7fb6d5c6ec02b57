"""The recovery graph: how an incident is led back to health, rung by rung, on LangGraph with its checkpointer.

Every node looks first. The tables are the truth; the checkpoint only says where to go on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from lazaret.healing.context import HealingContext, HealingParts
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.act import act
from lazaret.healing.steps.ask_approval import ask_approval
from lazaret.healing.steps.choose import choose
from lazaret.healing.steps.close import close, hand_over
from lazaret.healing.steps.diagnose import diagnose
from lazaret.healing.steps.prove import prove, restore
from lazaret.healing.steps.step import Next, StepResult
from lazaret.operations.outcome import Advance, Done, GiveUp, Outcome, Retry, Wait
from lazaret.operations.run import OperationRun, run_step
from lazaret.operations.store import get_operation
from lazaret.provisioning.graph import Paused, ProvisioningWorkflow, pause, resumption, wait_of


@dataclass(frozen=True, slots=True)
class Node:
    """One node: what it does, how long it may take in seconds, and where it may lead."""

    action: Callable[[HealingContext, RecoveryState], Awaitable[StepResult]]
    deadline_s: float
    routes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.action.__name__


NODES: tuple[Node, ...] = (
    Node(diagnose, 180, ("choose", "restore", "hand_over")),
    Node(choose, 180, ("ask_approval", "act", "diagnose", "hand_over", "restore")),
    Node(ask_approval, 180, ("act", "diagnose", "hand_over", "restore")),
    Node(act, 900, ("prove", "choose", "restore", "hand_over")),
    Node(prove, 900, ("restore", "choose", "diagnose", "hand_over")),
    Node(restore, 900, ("close", "act")),
    Node(close, 60, (END,)),
    Node(hand_over, 120, (END,)),
)


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What a node gets besides the state; it is never checkpointed."""

    healing: HealingContext


def build_graph(
    checkpointer: BaseCheckpointSaver[str] | None = None,
) -> CompiledStateGraph[RecoveryState, NodeContext, RecoveryState, RecoveryState]:
    """The compiled graph; without a checkpointer it is good for drawing."""
    graph = StateGraph(RecoveryState, context_schema=NodeContext)
    for node in NODES:
        graph.add_node(node.name, _run(node), destinations=node.routes)
    graph.add_edge(START, NODES[0].name)
    return graph.compile(checkpointer=checkpointer)


def _run(node: Node) -> Callable[..., Awaitable[Command[str]]]:
    async def run(state: RecoveryState, runtime: Runtime[NodeContext]) -> Command[str]:
        ctx = runtime.context.healing
        step = Next("")

        async def action() -> Outcome:
            nonlocal step
            result = await node.action(ctx, state)
            if isinstance(result, Next):
                step = result
                return Advance(result.detail, to=result.to)
            return result

        outcome = await run_step(ctx.run, node.name, action, deadline_s=node.deadline_s)
        match outcome:
            case Done(result=result):
                return Command(goto=END, update={"recovery_result": {"done": True, **result}})
            case Wait():
                pause(outcome, ctx.run)
            case Retry() | GiveUp():
                raise Paused(outcome)
        assert step.to in node.routes, f"{node.name} has no route to {step.to}"
        return Command(goto=step.to, update=step.update)

    return run


class RecoveryWorkflow:
    """Runs the graph for one operation of the kind `recover`; fulfils `operations.run.Workflow`."""

    def __init__(
        self, parts: HealingParts, provisioning: ProvisioningWorkflow, checkpointer: BaseCheckpointSaver[str]
    ) -> None:
        self._parts = parts
        self._provisioning = provisioning
        self._graph = build_graph(checkpointer)

    async def advance(self, run: OperationRun) -> Outcome:
        """Begin, or go on where the checkpoint stands."""
        config: Any = {"configurable": {"thread_id": str(run.operation_id)}, "recursion_limit": 100}
        checkpoint = await self._graph.aget_state(config)
        if checkpoint.values.get("recovery_result") and not checkpoint.next:
            return Done("recovered", result=dict(checkpoint.values["recovery_result"]))  # died before saying so
        async with run.db.transaction() as session:
            params = (await get_operation(session, run.operation_id)).params
        incident_id = int(params["incident_id"])
        entry = resumption(checkpoint) if checkpoint.next else _first_state(run, incident_id)
        healing = HealingContext(run, self._parts, incident_id, self._provisioning)
        try:
            result = await self._graph.ainvoke(entry, config, context=NodeContext(healing), durability="sync")
        except Paused as paused:
            return paused.outcome
        if waiting := result.get("__interrupt__"):
            return wait_of(waiting[0].value)
        return Done("recovered", result=dict(result.get("recovery_result", {})))


def _first_state(run: OperationRun, incident_id: int) -> RecoveryState:
    return RecoveryState(
        operation_id=run.operation_id,
        server_to_provision=run.handle,
        is_incident_recovery=True,
        incident_id=incident_id,
        condition="",
        ladder=[],
        rung=0,
        looked_at="",
        can_log_in=False,
        cleared_at="",
        helped_by="",
        because="",
        recovery_result={},
    )
