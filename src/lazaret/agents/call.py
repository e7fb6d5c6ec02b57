"""What the function behind a tool gets besides its arguments."""

from dataclasses import dataclass

from lazaret.agents.caller import AgentCaller
from lazaret.agents.errand import Parts
from lazaret.agents.graph import Orchestrator


@dataclass(frozen=True, slots=True)
class Agency:
    """Everything that tools need and do not own."""

    parts: Parts
    orchestrator: Orchestrator


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one tool."""

    agency: Agency
    caller: AgentCaller

    @property
    def parts(self) -> Parts:
        return self.agency.parts
