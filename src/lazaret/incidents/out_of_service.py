"""Which trouble takes a server out of service, and whether any of that is open."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.incidents.model import OPEN, Incident
from lazaret.probing.symptoms import Condition

SERVES_ON = frozenset(
    {
        Condition.SERVICE_DOWN,
        Condition.FIREWALL_OFF,
        Condition.DISK_FULL,
        Condition.INODES_FULL,
        Condition.MEMORY_EXHAUSTED,
    }
)
"""With these a server stays in service. All others take it out, and so does an incident that is about no condition."""


async def is_kept_out(session: AsyncSession, handle: str) -> bool:
    """Whether an open incident of this server keeps it out of service."""
    await session.flush()
    causes = await session.scalars(
        select(Incident.cause).where(
            Incident.server_handle == handle, Incident.status.in_([status.value for status in OPEN])
        )
    )
    return not SERVES_ON.issuperset(causes)
