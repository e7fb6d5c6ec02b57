"""Rows that tests need and that no test is about."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus


async def add_server(
    session: AsyncSession, handle: str, *, at: datetime, status: ServerStatus = ServerStatus.READY
) -> Server:
    """A managed server of that handle (`vps-7`), set up and in order."""
    number = int(handle.rpartition("-")[2])
    server = Server(
        handle=handle,
        provider="time4vps",
        provider_id=900000 + number,
        host=f"{handle}.example",
        public_ip=f"127.9.{number // 250}.{number % 250}",
        is_managed=True,
        status=status.value,
        status_since=at,
        provisioned_at=at,
        created_at=at,
        updated_at=at,
    )
    session.add(server)
    await session.flush()
    return server
