"""The tools that only look. A docstring here is what a model reads before it calls."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field

from lazaret.agents import answers
from lazaret.agents.call import Call
from lazaret.deployments.store import list_deployments
from lazaret.healing import store as healing
from lazaret.healing.model import Decision
from lazaret.healing.why import why as why_of
from lazaret.incidents import store as incidents
from lazaret.incidents.model import OPEN
from lazaret.operations import store as operations
from lazaret.operations.model import LIVE, OperationStatus
from lazaret.probing.store import health_of
from lazaret.servers import store as servers
from lazaret.servers.status import ServerStatus

MOST_ROWS = 50
NEWEST_LINES = 30
LONGEST_WAIT_S = 50
"""Clients give up after a minute."""
POLL_S = 0.5

Handle = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="A server's handle, for example `vps-267179`.")
]
SomeHandle = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$", description="Only of this server; empty: of all servers.")
]
Number = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS, strict=True, description="Rows of one page.")]
Offset = Annotated[
    int, Field(ge=0, le=2**31 - 1, strict=True, description="Where the page begins: `next_offset` of the one before.")
]
Wait = Annotated[
    float, Field(ge=0, le=LONGEST_WAIT_S, strict=True, description="Seconds to wait for a change before answering.")
]

T = TypeVar("T")


async def list_servers(
    call: Call,
    *,
    status: Annotated[list[ServerStatus] | None, Field(description="Only servers in one of these.")] = None,
    search: Annotated[str, Field(max_length=100, description="Part of a handle, host name or label.")] = "",
    limit: Limit = 20,
    offset: Offset = 0,
) -> dict[str, Any]:
    """List the servers of the fleet with their status.

    Servers that are not managed are shown and can never be touched.
    """
    async with call.parts.db.transaction() as session:
        rows, total = await servers.list_servers(
            session, statuses=status or [], search=search, limit=limit, offset=offset
        )
    return answers.page([answers.server_row(row) for row in rows], total, offset=offset)


async def get_server(call: Call, *, server_handle: Handle) -> dict[str, Any]:
    """One server: status, capacity, what the monitor sees, and the operation under way, if any."""
    async with call.parts.db.transaction() as session:
        row = await servers.get_server(session, server_handle)
        health = await health_of(session, server_handle)
        live = await operations.live_operation(session, server_handle)
    return answers.server_detail(row, health, live)


async def get_services_on_server(
    call: Call, *, server_handle: Handle, limit: Limit = 20, offset: Offset = 0
) -> dict[str, Any]:
    """Get all services deployed on a specific server, with their ports and whether they run."""
    async with call.parts.db.transaction() as session:
        await servers.get_server(session, server_handle)
        rows, total = await list_deployments(session, handle=server_handle, limit=limit, offset=offset)
    return answers.page([answers.service_row(row) for row in rows], total, offset=offset)


async def why(call: Call, *, server_handle: Handle) -> dict[str, Any]:
    """Ask why a server is as it is.

    Answers what is known, which rule decided, what comes next, and what holds action back. Ask this before you propose
    anything.
    """
    async with call.parts.db.transaction() as session:
        found = await why_of(session, server_handle, at=call.parts.clock.now())
    return {
        "server_handle": found.handle,
        "status": found.status,
        "known": found.known,
        "decided": found.decided,
        "next": found.next,
        "held_back": found.held_back,
    }


async def list_incidents(
    call: Call,
    *,
    server_handle: SomeHandle = "",
    only_open: Annotated[bool, Field(description="Leave out those that are over.")] = True,
    limit: Limit = 20,
    offset: Offset = 0,
) -> dict[str, Any]:
    """List what went wrong, newest first."""
    async with call.parts.db.transaction() as session:
        rows, total = await incidents.list_incidents(
            session, handle=server_handle, statuses=sorted(OPEN) if only_open else [], limit=limit, offset=offset
        )
    return answers.page([answers.incident_row(row) for row in rows], total, offset=offset)


async def get_incident(call: Call, *, incident_id: Number) -> dict[str, Any]:
    """One incident with the newest lines of its story: what was seen, decided and tried."""
    async with call.parts.db.transaction() as session:
        row = await incidents.get_incident(session, incident_id)
        timeline = await incidents.newest_of(session, incident_id, limit=NEWEST_LINES)
    return answers.incident_detail(row, timeline)


async def list_operations(
    call: Call,
    *,
    server_handle: SomeHandle = "",
    only_live: Annotated[bool, Field(description="Leave out those that have ended.")] = False,
    limit: Limit = 20,
    offset: Offset = 0,
) -> dict[str, Any]:
    """List what was and is done to servers, newest first."""
    async with call.parts.db.transaction() as session:
        rows, total = await operations.list_operations(
            session, handle=server_handle, statuses=sorted(LIVE) if only_live else [], limit=limit, offset=offset
        )
    return answers.page([answers.operation_row(row) for row in rows], total, offset=offset)


async def get_operation(call: Call, *, operation_id: Number, wait_s: Wait = 0) -> dict[str, Any]:
    """One operation with its steps. With `wait_s` it waits that long for the operation to end."""

    async def look() -> dict[str, Any]:
        async with call.parts.db.transaction() as session:
            row = await operations.get_operation(session, operation_id)
            return answers.operation_detail(row, await operations.steps_of(session, operation_id))

    return await _until(call, look, lambda told: OperationStatus(told["status"]) not in LIVE, wait_s)


async def get_approval(call: Call, *, approval_id: Number, wait_s: Wait = 0) -> dict[str, Any]:
    """A question that people were asked, and their answer: `open`, `approved`, `denied` or `expired`.

    Only a person can answer it. With `wait_s` it waits that long for the answer.
    """

    async def look() -> dict[str, Any]:
        async with call.parts.db.transaction() as session:
            row = await healing.get_approval(session, approval_id)
        told = answers.approval_row(row)
        if row.decision is None and row.expires_at <= call.parts.clock.now():
            told["state"] = Decision.EXPIRED.value
        return told

    return await _until(call, look, lambda told: told["state"] != "open", wait_s)


async def _until(call: Call, look: Callable[[], Awaitable[T]], is_over: Callable[[T], bool], wait_s: float) -> T:
    """Look again and again until it is over or the time is; each look has a transaction of its own."""
    ends_at = call.parts.clock.monotonic() + wait_s
    while True:
        found = await look()
        if is_over(found) or call.parts.clock.monotonic() >= ends_at:
            return found
        await call.parts.clock.sleep(POLL_S)
