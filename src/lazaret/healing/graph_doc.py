"""Writes `docs/recovery_graph.md` from the compiled graph and the ladders: `python -m lazaret.healing.graph_doc`."""

import inspect
import sys

from lazaret.healing.diagnosis import Facts, plan_for
from lazaret.healing.graph import NODES, Node, build_graph
from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.probing.symptoms import Condition
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability


def graph_page() -> str:
    """The whole page."""
    diagram = build_graph().get_graph().draw_mermaid().strip()
    return "\n".join(
        [
            "# The recovery graph",
            "",
            "Generated from `src/lazaret/healing/` by `make docs`; do not edit.",
            "",
            "```mermaid",
            diagram,
            "```",
            "",
            "| Step | What it does | Leads to | Deadline |",
            "|---|---|---|---|",
            *(_row(node) for node in NODES),
            "",
            "## Ladders",
            "",
            "For a provider that can do everything, the rebuild policy `ask`, and no service that answers. A ladder",
            "ends with a person; *asks* means that the rung waits for an approval.",
            "",
            "| What is wrong | Rungs, gentle first |",
            "|---|---|",
            *(_ladder(condition) for condition in Condition),
            "",
            "## Remedies",
            "",
            "| Remedy | Costs | Data | Its proof | Has for it | Evidence first |",
            "|---|---|---|---|---|---|",
            *(_remedy(remedy) for remedy in Remedy),
            "",
        ]
    )


def _row(node: Node) -> str:
    sentence = (inspect.getdoc(node.action) or "").split("\n\n")[0].replace("\n", " ")
    routes = ", ".join(route.strip("_") for route in node.routes)
    return f"| `{node.name}` | {sentence} | {routes} | {node.deadline_s:.0f} s |"


def _remedy(remedy: Remedy) -> str:
    about = REMEDIES[remedy]
    evidence = "yes" if about.needs_evidence else "no"
    return f"| {remedy} | {about.cost} | {about.data_risk} | {about.proof} | {about.deadline_s:.0f} s | {evidence} |"


def _ladder(condition: Condition) -> str:
    facts = Facts(capabilities=frozenset(Capability), rebuild_policy=RebuildPolicy.ASK)
    rungs = [f"{rung.remedy}{' (asks)' if rung.needs_approval else ''}" for rung in plan_for(condition, facts).rungs]
    return f"| {condition} | {', '.join(rungs)} |"


if __name__ == "__main__":
    sys.stdout.write(graph_page())
