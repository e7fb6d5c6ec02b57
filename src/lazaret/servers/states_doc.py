"""Writes `docs/states.md` from the status table: `python -m lazaret.servers.states_doc`. Pure."""

import inspect
import re
import sys
from enum import StrEnum

from lazaret.servers import status
from lazaret.servers.status import TABLE, Party, ServerStatus, StatusEvent

SETS = ("OPERATIONAL", "IN_FLIGHT", "NEEDS_ATTENTION", "PARKED")


def states_page() -> str:
    """The whole page."""
    return "\n".join(
        [
            "# Server states",
            "",
            "Generated from `src/lazaret/servers/status.py` by `make docs`; do not edit.",
            "",
            "## Statuses",
            "",
            *_meanings(ServerStatus),
            "",
            "## Sets",
            "",
            *(f"- **{name.lower().replace('_', ' ')}**: {_names(getattr(status, name))}" for name in SETS),
            "",
            "## Diagram",
            "",
            "```mermaid",
            "stateDiagram-v2",
            "    [*] --> discovered",
            *(f"    {row.source} --> {row.target}: {row.event}" for row in TABLE),
            "```",
            "",
            "## Transitions",
            "",
            "| From | Event | To | Who |",
            "|---|---|---|---|",
            *(f"| {row.source} | {row.event} | {row.target} | {_names(row.parties)} |" for row in TABLE),
            "",
            "## Events",
            "",
            *_meanings(StatusEvent),
            "",
            "## Who",
            "",
            *_meanings(Party),
            "",
        ]
    )


def _names(values: frozenset[ServerStatus] | frozenset[Party]) -> str:
    return ", ".join(sorted(values))


def _meanings(kind: type[StrEnum]) -> list[str]:
    """One line for each value, with the sentence that stands below it in the code."""
    source = inspect.getsource(kind)
    found = re.findall(r'^    (\w+) = "[^"]*"\n    """(.+?)"""', source, re.MULTILINE | re.DOTALL)
    return [f"- `{kind[name]}`: {' '.join(sentence.split())}" for name, sentence in found]


if __name__ == "__main__":
    sys.stdout.write(states_page())
