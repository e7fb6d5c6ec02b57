"""Writes `docs/agent_tools.md` from the table of tools: `python -m lazaret.agents.tools_doc`."""

import sys
from typing import Any

from lazaret.agents.toolbox import TOOLS, Tool


def tools_page() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Tools for agents",
            "",
            "Generated from `src/lazaret/agents/toolbox.py` by `make docs`; do not edit. How to connect:",
            "[howto/agents.md](howto/agents.md).",
            "",
            "| Tool | Role | |",
            "|---|---|---|",
            *(f"| [`{one.name}`](#{one.name}) | {one.role} | {_summary(one)} |" for one in TOOLS),
            "",
            *(line for one in TOOLS for line in _chapter(one)),
        ]
    )


def _summary(one: Tool) -> str:
    acts = " **Acts**: off unless switched on." if one.acts else ""
    return f"{' '.join(one.description.split(chr(10) * 2)[0].split())}{acts}"


def _chapter(one: Tool) -> list[str]:
    rows = [_argument(name, field, one) for name, field in one.schema.get("properties", {}).items()]
    return [f"## {one.name}", "", one.description, "", "| Argument | |", "|---|---|", *rows, ""]


def _argument(name: str, field: dict[str, Any], one: Tool) -> str:
    needed = "" if name not in one.schema.get("required", ()) else " Needed."
    default = f" Left out: `{field['default']}`." if field.get("default") not in (None, "") else ""
    return f"| `{name}` | {field.get('description', 'A number that another tool named.')}{default}{needed} |"


if __name__ == "__main__":
    sys.stdout.write(tools_page())
