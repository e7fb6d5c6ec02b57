"""Reads and changes of the tables `servers` and `holds`. Every status change goes through `change_status`."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.database import any_contains
from lazaret.kernel.errors import NotFound
from lazaret.servers.guard import Target
from lazaret.servers.model import Hold, Server
from lazaret.servers.registry import kind_of
from lazaret.servers.status import Party, ServerStatus, StatusEvent, transition


def handle_of(provider: str, provider_id: int) -> str:
    """`vps-<provider id>` at Time4VPS, `host-<id>` of the hosts file: no two providers share a prefix."""
    return f"{kind_of(provider).handle_prefix}-{provider_id}"


def target_of(server: Server) -> Target:
    """The frozen value that decisions take."""
    return Target(
        handle=server.handle,
        provider=server.provider,
        provider_id=server.provider_id,
        public_ip=server.public_ip,
        is_managed=server.is_managed,
        status=ServerStatus(server.status),
    )


async def get_server(session: AsyncSession, handle: str, *, for_update: bool = False) -> Server:
    """The server, or `NotFound`. With `for_update` its row is locked until the transaction ends."""
    statement = select(Server).where(Server.handle == handle)
    if for_update:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    server = await session.scalar(statement)
    if server is None:
        raise NotFound(f"There is no server {handle[:80]!r}.", hint="`lazaret servers` lists them.")
    return server


def is_found_by(search: str) -> ColumnElement[bool]:
    """The condition that a server's handle, host name, label or address contains what was looked for."""
    return any_contains(search, Server.handle, Server.host, Server.label, Server.public_ip)


async def list_servers(
    session: AsyncSession,
    *,
    statuses: Sequence[ServerStatus] = (),
    is_managed: bool | None = None,
    search: str = "",
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Server], int]:
    """One page, ordered by provider id and handle, and the number of all that match."""
    conditions: list[ColumnElement[bool]] = []
    if statuses:
        conditions.append(Server.status.in_([status.value for status in statuses]))
    if is_managed is not None:
        conditions.append(Server.is_managed == is_managed)
    if search:
        conditions.append(is_found_by(search))
    total = await session.scalar(select(func.count()).select_from(Server).where(*conditions))
    rows = await session.scalars(
        select(Server).where(*conditions).order_by(Server.provider_id, Server.handle).limit(limit).offset(offset)
    )
    return list(rows), total or 0


def change_status(
    session: AsyncSession,
    server: Server,
    event: StatusEvent,
    party: Party,
    *,
    actor: audit.Actor,
    at: datetime,
    reason: str = "",
    operation_id: int | None = None,
) -> ServerStatus:
    """Apply one row of the status table to a locked server, with its audit entry. Raises `IllegalTransition`."""
    before = ServerStatus(server.status)
    after = transition(before, event, party)
    server.status = after.value
    server.status_since = at
    server.status_reason = reason
    server.updated_at = at
    audit.record(
        session,
        actor,
        "server.status",
        f"server:{server.handle}",
        at=at,
        operation_id=operation_id,
        before=before.value,
        event=event.value,
        after=after.value,
        reason=reason,
    )
    return after


async def holds_on(session: AsyncSession, handle: str, *, at: datetime) -> list[Hold]:
    """The holds in force on this server, those on the whole fleet included."""
    rows = await session.scalars(
        select(Hold)
        .where(
            or_(Hold.server_handle == handle, Hold.server_handle.is_(None)),
            Hold.lifted_at.is_(None),
            or_(Hold.expires_at.is_(None), Hold.expires_at > at),
        )
        .order_by(Hold.id)
    )
    return list(rows)
