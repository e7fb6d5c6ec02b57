"""When a server that was taken out of service is in service again: nothing that causes it is open any more."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.incidents_of import kind_of
from lazaret.incidents.model import OPEN, Incident
from lazaret.kernel import audit
from lazaret.probing.symptoms import Condition
from lazaret.servers import store as servers
from lazaret.servers.model import Server
from lazaret.servers.status import Party, ServerStatus, StatusEvent


async def return_to_service(
    session: AsyncSession,
    server: Server,
    party: Party,
    actor: audit.Actor,
    *,
    in_use: bool,
    at: datetime,
    reason: str,
    operation_id: int | None = None,
) -> None:
    """End `error` on a locked server, unless another open incident still keeps it out. Else nothing changes."""
    if server.status != ServerStatus.ERROR or await _is_kept_out(session, server.handle):
        return
    servers.change_status(
        session,
        server,
        StatusEvent.CAME_BACK_WITH_SERVICES if in_use else StatusEvent.CAME_BACK,
        party,
        actor=actor,
        at=at,
        reason=reason,
        operation_id=operation_id,
    )


async def _is_kept_out(session: AsyncSession, handle: str) -> bool:
    await session.flush()
    causes = await session.scalars(
        select(Incident.cause).where(
            Incident.server_handle == handle, Incident.status.in_([status.value for status in OPEN])
        )
    )
    known = set(Condition)
    return any(cause not in known or kind_of(Condition(cause)).takes_out_of_service for cause in causes)
