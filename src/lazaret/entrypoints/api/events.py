"""Live events: `/api/events` as server-sent events.

The tables are the source; a signal is only a wake-up. A client that comes back with its last id misses nothing.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from lazaret.entrypoints.api.operations import EventAnswer
from lazaret.entrypoints.api.security import OfficeDep, Viewer
from lazaret.entrypoints.api.shapes import INT64_MAX, Digits
from lazaret.entrypoints.office import Office
from lazaret.kernel.events import listen
from lazaret.operations.store import events_after, last_event_id
from lazaret.users.store import Caller, is_valid

router = APIRouter(tags=["events"])

KEEPALIVE_S = 15.0
"""A comment is sent so often, so that a client and what stands between know that the line is alive."""


class Bell:
    """Wakes every client of this process when something was written: one database connection for all of them."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.closed = False

    async def run(self, conninfo: str) -> None:
        """Ring at every signal, until cancelled."""
        async for _ in listen(conninfo):
            self.ring()

    def ring(self) -> None:
        """Wake everybody who waits now."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        self.ring()

    def next_ring(self) -> asyncio.Event:
        """Set at the next ring. Taken before reading, so that nothing written meanwhile is slept through."""
        return self._changed


@router.get("/api/events", response_class=StreamingResponse)
async def stream_events(
    request: Request,
    caller: Viewer,
    office: OfficeDep,
    operation_id: Annotated[int | None, Query(ge=1, le=INT64_MAX), Digits] = None,
    last_event_id_header: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=INT64_MAX), Digits] = None,
) -> StreamingResponse:
    """Events of operations as they happen; with the header `Last-Event-ID` also those that were missed."""
    after = last_event_id_header
    if after is None:
        async with office.db.transaction() as session:
            after = 0 if operation_id is not None else await last_event_id(session)
    body = _stream(office, request.app.state.bell, after, operation_id, caller)
    return StreamingResponse(body, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _stream(
    office: Office, bell: Bell, after: int, operation_id: int | None, caller: Caller
) -> AsyncIterator[str]:
    yield ": connected\n\n"
    while not bell.closed:
        ring = bell.next_ring()
        async with office.db.transaction() as session:
            if not await is_valid(session, caller, at=office.clock.now()):
                return  # the token was revoked or has expired meanwhile
            rows = await events_after(session, after, operation_id=operation_id)
        for row in rows:
            after = row.id
            data = EventAnswer.model_validate(row).model_dump(mode="json")
            yield f"id: {row.id}\nevent: {row.kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
        if not rows:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ring.wait(), KEEPALIVE_S)
            yield ": alive\n\n"
