"""What the recovery graph may use, and what the tables say of the incident right now."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.budget import Limits
from lazaret.incidents.model import Incident, TimelineKind
from lazaret.incidents.store import get_incident, tell
from lazaret.operations.run import OperationRun, Workflow
from lazaret.probing.rules import Rules
from lazaret.probing.streams import ReadingStreams
from lazaret.probing.verdict import Expectations
from lazaret.provisioning.context import Parts, StepContext

Expecting = Callable[[AsyncSession, str], Awaitable[Expectations]]
"""What should run on a server."""


class ServiceDoors(Protocol):
    """Whether services can be heard from outside."""

    async def answer(self, handle: str, address: str, *, handshake_counts: bool) -> bool:
        """Whether any service of the server answers; a TCP handshake is an answer only where it is said to count."""
        ...


async def _nothing(_: AsyncSession, __: str) -> Expectations:
    return Expectations()


class _NoDoors:
    async def answer(self, _: str, __: str, *, handshake_counts: bool) -> bool:  # noqa: ARG002  # a Protocol names it
        return False


@dataclass(frozen=True, slots=True)
class HealingParts:
    """Everything that healing needs and does not own."""

    provisioning: Parts
    streams: ReadingStreams
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    expecting: Expecting = field(default=_nothing)
    doors: ServiceDoors = field(default_factory=_NoDoors)
    approval_ttl: timedelta = timedelta(hours=12)
    """A question that nobody answered for so long is answered with no."""
    look_again_s: float = 15.0
    """While something holds a recovery back, it is looked at again so often."""
    patience: float = 1.0
    """Factor on how long a remedy may take to show its effect."""


@dataclass(frozen=True, slots=True)
class HealingContext:
    """Handed to every step of a recovery."""

    run: OperationRun
    parts: HealingParts
    incident_id: int
    provisioning: Workflow
    """How a server is set up, again or anew."""

    @property
    def steps(self) -> StepContext:
        """The same for steps of provisioning."""
        return StepContext(self.run, self.parts.provisioning)

    async def incident(self) -> Incident:
        """The incident as it stands."""
        async with self.run.db.transaction() as session:
            return await get_incident(session, self.incident_id)

    async def tell(self, kind: TimelineKind, message: str, **values: object) -> None:
        """A line in the incident's timeline and in the operation's live log; `message` is a template."""
        clean = {name: self.run.redactor.clean(str(value)) for name, value in values.items()}
        text = message.format(**clean) if clean else self.run.redactor.clean(message)
        now = self.run.clock.now()
        async with self.run.apply() as (session, _):
            incident = await get_incident(session, self.incident_id)
            tell(session, incident, kind, message if clean else text, at=now, **clean)
        await self.run.note(text)
