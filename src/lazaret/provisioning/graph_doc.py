"""Writes `docs/provisioning_graph.md` from the compiled graph: `python -m lazaret.provisioning.graph_doc`."""

import inspect
import sys

from lazaret.provisioning.context import Limits
from lazaret.provisioning.graph import STEPS, Step, build_graph


def graph_page() -> str:
    """The whole page."""
    diagram = build_graph(None).get_graph().draw_mermaid().strip()
    return "\n".join(
        [
            "# The provisioning graph",
            "",
            "Generated from `src/lazaret/provisioning/graph.py` by `make docs`; do not edit.",
            "",
            "```mermaid",
            diagram,
            "```",
            "",
            "The first route of a step is the usual one. Deadlines are those of the default settings.",
            "",
            "| Step | What it does | Leads to | Deadline |",
            "|---|---|---|---|",
            *(_row(step) for step in STEPS),
            "",
        ]
    )


def _row(step: Step) -> str:
    sentence = (inspect.getdoc(step.action) or "").split("\n\n")[0].replace("\n", " ")
    routes = ", ".join(route.strip("_") for route in step.routes)
    return f"| `{step.name}` | {sentence} | {routes} | {step.deadline_s(Limits()):.0f} s |"


if __name__ == "__main__":
    sys.stdout.write(graph_page())
