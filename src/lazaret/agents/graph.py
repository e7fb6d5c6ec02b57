"""The orchestrator's graph: the quartermaster allots a server, it is set up where it must be, the service is deployed.

Every node looks first and waits a bounded time. When that is over the graph stops there, and the next run with the same
reference goes on: what was recorded meanwhile is found in the tables. There is no model inside; nothing here guesses.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from lazaret.agents.devops import devops
from lazaret.agents.errand import Errand, Parts
from lazaret.agents.errors import data_of
from lazaret.agents.provisioner import provisioner
from lazaret.agents.state import OrchestratorState
from lazaret.agents.zavhoz import zavhoz
from lazaret.kernel.audit import Actor
from lazaret.kernel.errors import LazaretError, NotFound
from lazaret.provisioning.graph import resumption

Node = Callable[[Errand, OrchestratorState], Awaitable[dict[str, Any]]]
NODES: tuple[Node, ...] = (zavhoz, provisioner, devops)


def after_zavhoz(state: OrchestratorState) -> str:
    """To the provisioner when the server needs set-up, else straight on."""
    if state.get("refusal"):
        return END
    return "provisioner" if state.get("server_to_provision") else "devops"


def after_provisioner(state: OrchestratorState) -> str:
    """On to the deployment, if there is one and the server is in order."""
    return END if state.get("refusal") or not state.get("service_name") else "devops"


def build_graph(
    checkpointer: BaseCheckpointSaver[str] | None = None,
) -> CompiledStateGraph[OrchestratorState, Errand, OrchestratorState, OrchestratorState]:
    """The compiled graph; without a checkpointer it is good for drawing."""
    graph = StateGraph(OrchestratorState, context_schema=Errand)
    for node in NODES:
        graph.add_node(node.__name__, _run(node))
    graph.add_edge(START, "zavhoz")
    graph.add_conditional_edges("zavhoz", after_zavhoz, ["provisioner", "devops", END])
    graph.add_conditional_edges("provisioner", after_provisioner, ["devops", END])
    graph.add_edge("devops", END)
    return graph.compile(checkpointer=checkpointer)


def _run(node: Node) -> Callable[..., Awaitable[dict[str, Any]]]:
    async def run(state: OrchestratorState, runtime: Runtime[Errand]) -> dict[str, Any]:
        try:
            return await node(runtime.context, state)
        except LazaretError as error:
            return {"refusal": data_of(error)}

    return run


class Orchestrator:
    """Runs errands. Each has a reference, which is the thread of its checkpoints."""

    def __init__(self, parts: Parts, checkpointer: BaseCheckpointSaver[str]) -> None:
        self._parts = parts
        self._graph = build_graph(checkpointer)

    async def run(
        self, state: OrchestratorState | None, actor: Actor, *, reference: str = "", wait_s: float = 20
    ) -> dict[str, Any]:
        """Begin an errand with `state`, or go on with the one that `reference` names; returns how it stands.

        `wait_s` bounds how long this call waits; what was recorded goes on without it.
        """
        begins = state is not None
        reference = reference or secrets.token_hex(8)
        config: Any = {"configurable": {"thread_id": f"errand:{reference}"}, "recursion_limit": 20}
        checkpoint = await self._graph.aget_state(config)
        if not checkpoint.values and not begins:
            raise NotFound(f"There is no errand {reference[:40]!r}.", hint="`deploy` begins one and names it.")
        if checkpoint.values and not checkpoint.next:
            return answer_of(reference, checkpoint.values)
        errand = Errand(reference, actor, self._parts, self._parts.clock.monotonic() + wait_s)
        entry = resumption(checkpoint) if checkpoint.next else state
        result = await self._graph.ainvoke(entry, config, context=errand, durability="sync")
        return answer_of(reference, result)


def answer_of(reference: str, state: Any) -> dict[str, Any]:
    """How an errand stands, for whoever asked."""
    told: dict[str, Any] = {
        "errand": reference,
        "server_handle": state.get("server_handle", ""),
        "server_to_provision": state.get("server_to_provision", ""),
        "provisioning_result": state.get("provisioning_result", {}),
        "deployment_result": state.get("deployment_result", {}),
    }
    if state.get("refusal"):
        return told | {"state": "refused", "error": state["refusal"]}
    waiting = state.get("__interrupt__")
    if waiting:
        return told | {"state": "waiting", **waiting[0].value}
    return told | {"state": "done"}
