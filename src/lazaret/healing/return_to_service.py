"""When a server that was taken out of service is in service again: nothing that causes it is open any more."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.incidents.out_of_service import is_kept_out
from lazaret.kernel import audit
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
    if server.status != ServerStatus.ERROR or await is_kept_out(session, server.handle):
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
