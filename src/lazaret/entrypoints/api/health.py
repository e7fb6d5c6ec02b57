"""Health of the process itself: `/healthz`, `/readyz`, `/metrics`. Open to all; they tell no name."""

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lazaret import __version__, migrations
from lazaret.entrypoints.api.problems import problem
from lazaret.entrypoints.api.security import OfficeDep
from lazaret.kernel.logging import get_logger
from lazaret.kernel.metrics import REGISTRY

router = APIRouter(tags=["health"])
logger = get_logger(__name__)

PATIENCE_S = 3.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz")
async def readyz(office: OfficeDep) -> JSONResponse:
    """The database answers and has the present schema."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            current = await migrations.is_current(office.conninfo)
    except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
        logger.warning("api.not_ready", error=type(error).__name__)
        return problem(503, "not_ready", "The database does not answer.", hint="See `lazaret doctor`.", part="database")
    if not current:
        return problem(503, "not_ready", "The database has another schema.", hint="Restart Lazaret.", part="schema")
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
