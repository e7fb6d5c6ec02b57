"""What a step of a recovery returns: where to go and what to remember, or an outcome that leaves the graph."""

from dataclasses import dataclass, field
from typing import Any

from lazaret.healing.context import HealingContext
from lazaret.healing.look import Look
from lazaret.operations.outcome import Done, GiveUp, Retry, Wait


@dataclass(frozen=True, slots=True)
class Next:
    """Go on at `to`; `update` changes the state of the graph."""

    to: str
    detail: str = ""
    update: dict[str, Any] = field(default_factory=dict)


def to_a_person(because: str) -> Next:
    """Nothing more is done by itself, for this reason."""
    return Next("hand_over", because, {"because": because})


def looked(ctx: HealingContext, seen: Look) -> dict[str, Any]:
    """What the state remembers of a look."""
    return {"looked_at": ctx.run.clock.now().isoformat(), "can_log_in": seen.can_log_in}


IT_ANSWERS_UNPROVED = "It answers, and what was set up anew could not be proved."
"""Why a server that answers is handed over all the same."""

StepResult = Next | Wait | Retry | GiveUp | Done
