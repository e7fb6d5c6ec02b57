"""`/live`: tells open pages that something changed, so that they fetch themselves again. It carries no data."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from lazaret.entrypoints.api.events import Bell
from lazaret.entrypoints.dashboard.web import Seeing

router = APIRouter(include_in_schema=False)
AT_MOST_EVERY_S = 1.0
"""A storm of changes is told once in this time."""
AT_LEAST_EVERY_S = 10.0
"""Readings ring no bell: pages look at them this often."""


@router.get("/live")
async def live(visit: Seeing) -> Response:
    """Server-sent events without content; one listener of the database serves all who listen here."""
    bell: Bell = visit.request.app.state.bell
    return StreamingResponse(
        _changes(bell), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _changes(bell: Bell) -> AsyncIterator[str]:
    ring = bell.next_ring()
    yield "retry: 2000\n\n"
    while not bell.closed:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ring.wait(), AT_LEAST_EVERY_S)
        ring = bell.next_ring()  # before it is told: what changes from now on is told the next time
        yield "event: changed\ndata: \n\n"
        await asyncio.sleep(AT_MOST_EVERY_S)
