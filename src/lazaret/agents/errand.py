"""One run of the orchestrator's graph: what its nodes may use, how they wait, and how they leave it meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from langgraph.types import interrupt

from lazaret.deployments.requests import Harbour
from lazaret.healing.wishes import Wishes
from lazaret.kernel.audit import Actor
from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.kernel.secrets import Redactor
from lazaret.operations.model import Operation

POLL_S = 0.5
"""So often a node looks whether what it waits for has happened."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that nodes need and do not own. They record intents; a worker acts."""

    db: Database
    clock: Clock
    redactor: Redactor
    harbour: Harbour
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Waiting:
    """It is not done yet: for what it waits, in words and as data."""

    why: str
    waits_for: str
    """`approval`, `operation`, or `server`."""
    number: int | None = None
    """Id of the approval or operation."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Handed to every node; it is never checkpointed. `until` is the monotonic second to which this run waits."""

    reference: str
    actor: Actor
    parts: Parts
    until: float

    async def wait(self, look: Callable[[], Awaitable[dict[str, Any] | Waiting]]) -> dict[str, Any]:
        """Look until it is done; when the patience is over, leave the graph here. The next run looks again."""
        while True:
            found = await look()
            if not isinstance(found, Waiting):
                return found
            if self.parts.clock.monotonic() >= self.until:
                pause(found)
            await self.parts.clock.sleep(POLL_S)


def pause(waiting: Waiting) -> NoReturn:
    """Leave the graph. Answers to earlier waits return at once and say nothing: the node has just looked."""
    while True:
        interrupt({"why": waiting.why, "waits_for": waiting.waits_for, "id": waiting.number})


def waiting_for(operation: Operation) -> Waiting:
    """A live operation, as it stands."""
    words = f"Operation {operation.id} ({operation.kind} of {operation.server_handle}) is {operation.status}"
    step = f" in the step {operation.step}" if operation.step else ""
    asks = f"; it waits for {operation.waiting_for}: {operation.hint or ''}" if operation.waiting_for else ""
    return Waiting(f"{words}{step}{asks}.", "operation", operation.id)
