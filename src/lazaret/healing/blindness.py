"""The one incident of the fleet for as long as a monitor cannot see. Records; judges nothing."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.incidents.model import IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.store import change_incident, open_incident, open_of, tell
from lazaret.kernel import audit
from lazaret.kernel.i18n import mark
from lazaret.probing.model import Monitor
from lazaret.probing.share import ALIVE_S

SETTLED = timedelta(seconds=2 * ALIVE_S)
"""A monitor says with its next beat that it is blind; so long nobody concludes that it is not."""


async def begin_blindness(session: AsyncSession, because: str, *, at: datetime) -> None:
    """One incident and one message, however many monitors cannot see."""
    incident, is_new = await open_incident(
        session, None, IncidentType.OBSERVER_BLIND, audit.MONITOR, at=at, cause="blind"
    )
    if is_new:
        tell(session, incident, TimelineKind.OBSERVATION, because, at=at)
        text = mark("The monitor cannot see, so nothing is judged: {because}")
        notify_admins(session, text, Level.CRITICAL, at=at, incident_id=incident.id, because=because)


async def end_blindness(session: AsyncSession, *, at: datetime) -> None:
    """The monitor sees again."""
    incident = await open_of(session, None, IncidentType.OBSERVER_BLIND)
    if incident is not None:
        await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.MONITOR, at=at)
        notify_admins(session, "The monitor sees again.", at=at, incident_id=incident.id)


async def end_blindness_of_the_dead(session: AsyncSession, *, at: datetime) -> None:
    """A monitor that was ended while it was blind says no more that it sees: those that live say it."""
    incident = await open_of(session, None, IncidentType.OBSERVER_BLIND)
    if incident is None or at - incident.detected_at < SETTLED:
        return
    alive = await session.scalars(select(Monitor.is_blind).where(Monitor.seen_at > at - timedelta(seconds=ALIVE_S)))
    seeing = [not is_blind for is_blind in alive]
    if seeing and all(seeing):
        await end_blindness(session, at=at)
