"""An incident is over for the eyes that opened it: what the worker alone sees well is waited for, or told to a person.

The worker has more patience than a monitor, and may stand elsewhere. A machine that lets it in after seven seconds is
lost for a monitor that waits for two, and so is one to which only the monitor's way is broken. Were the worker to end
such an incident, the monitor would open it anew at its next knock, and so on without end.
"""

from datetime import timedelta

from lazaret.healing.context import HealingContext
from lazaret.healing.incidents_of import LOST_TYPES
from lazaret.healing.look import Look
from lazaret.healing.state import RecoveryState
from lazaret.healing.steps.room import look_again_soon, said_since
from lazaret.healing.steps.step import Next, looked
from lazaret.incidents.model import Incident
from lazaret.kernel.i18n import mark
from lazaret.operations.outcome import Wait
from lazaret.probing.store import is_held_for_lost

AGREE_S = 300.0
"""So long worker and monitor may see different things, or as long as two knocks take; then a person is told."""
NOT_SEEN_YET = mark("It answers the worker, and the monitor does not see it yet: it is over when both do.")
THEY_DISAGREE = mark(
    "It answers the worker and is in order, but the monitor cannot log in: the machine may be too slow for it, or the "
    "monitor's way to it is broken."
)


async def await_agreement(
    ctx: HealingContext, state: RecoveryState, incident: Incident, seen: Look
) -> Wait | Next | None:
    """None: it is back. Else the wait for a monitor that holds it for lost, or the hand-over to a person.

    Where the worker has itself seen it lost, it has seen it come back as well.
    """
    if incident.incident_type not in LOST_TYPES or state["condition"]:
        return None
    now = ctx.run.clock.now()
    async with ctx.run.db.transaction() as session:
        if not await is_held_for_lost(session, ctx.run.handle, since=incident.detected_at, at=now):
            return None
    if now - await said_since(ctx, NOT_SEEN_YET) < timedelta(seconds=max(AGREE_S, 2 * ctx.parts.rules.knock_s)):
        return look_again_soon(ctx, NOT_SEEN_YET)
    known = {"because": THEY_DISAGREE, "condition": incident.cause, **looked(ctx, seen)}
    return Next("hand_over", THEY_DISAGREE, known)
