"""Health of the process itself: `/healthz`, `/readyz`, `/metrics`. Open to all; they tell no name."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lazaret import __version__, migrations
from lazaret.entrypoints.api.problems import problem
from lazaret.entrypoints.api.security import OfficeDep
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loop_health import loop_states
from lazaret.kernel.metrics import REGISTRY
from lazaret.migrations import Standing

router = APIRouter(tags=["health"])
logger = get_logger(__name__)

PATIENCE_S = 3.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz")
async def readyz(office: OfficeDep) -> JSONResponse:
    """The database answers and has the present schema, and the loops of this process do their work."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            standing = await migrations.standing(office.conninfo)
    except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
        logger.warning("api.not_ready", error=type(error).__name__)
        return problem(503, "not_ready", "The database does not answer.", hint="See `lazaret doctor`.", part="database")
    if standing not in {Standing.CURRENT, Standing.NEWER}:  # while it is upgraded, the older ones go on
        return problem(503, "not_ready", "The database has another schema.", hint="Restart Lazaret.", part="schema")
    dead = [state.name for state in loop_states() if state.is_dead]
    if dead:
        text = f"These loops have not succeeded for too long: {', '.join(dead)}."
        return problem(503, "not_ready", text, hint="Look at the log of this process.", part="loops")
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus' text format: what this process counts and, from the API, what the database knows."""
    facts = request.app.state.facts
    counted = generate_latest(REGISTRY)
    return Response(
        counted + await facts.exposition() if facts is not None else counted, media_type=CONTENT_TYPE_LATEST
    )
