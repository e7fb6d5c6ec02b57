"""Rows that tests need and that no test is about."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.probing.model import ServerHealth
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


def measured(handle: str, *, at: datetime) -> ServerHealth:
    """What a monitor writes of a server that is well and has room for services."""
    full = {"disks": {"/": {"used_percent": 5, "inodes_percent": 5, "available_mb": 40_000}}}
    return ServerHealth(
        server_handle=handle, vantage="main", monitor="m", phase="well", since=at, read_at=at, updated_at=at,
        reading={"memory_available_mb": 2000, "full": full},
    )  # fmt: skip
