"""Writes `docs/orchestrator_graph.md` from the compiled graph: `python -m lazaret.agents.graph_doc`."""

import inspect
import sys

from lazaret.agents.graph import NODES, build_graph


def graph_page() -> str:
    """The whole page."""
    rows = [f"| `{node.__name__}` | {' '.join((inspect.getdoc(node) or '').split())} |" for node in NODES]
    return "\n".join(
        [
            "# The orchestrator's graph",
            "",
            "Generated from `src/lazaret/agents/graph.py` by `make docs`; do not edit.",
            "",
            "```mermaid",
            build_graph().get_graph().draw_mermaid().strip(),
            "```",
            "",
            "Dotted lines are conditions: the server needs set-up or not, something was refused or not. Nodes record",
            "intents and wait for the worker's operations; they never act on a machine.",
            "",
            "| Node | What it does |",
            "|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(graph_page())
