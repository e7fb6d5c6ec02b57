"""The FastAPI application of one office: routes, errors, limits. It changes no machine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.routing import Route

from lazaret import __version__
from lazaret.entrypoints.api import (
    audit,
    deployments,
    events,
    healing,
    health,
    incidents,
    operations,
    processes,
    servers,
    tokens,
    users,
)
from lazaret.entrypoints.api.correlated import CorrelatedApp
from lazaret.entrypoints.api.problems import add_problem_handlers, problem
from lazaret.entrypoints.dashboard.app import add_dashboard
from lazaret.entrypoints.dashboard.web import is_https
from lazaret.entrypoints.fleet_facts import FleetFacts
from lazaret.entrypoints.mcp.door import PATH, McpDoor
from lazaret.entrypoints.office import Office
from lazaret.kernel.loops import end_tasks

ROUTERS = tuple(
    module.router
    for module in (
        users,
        audit,
        servers,
        incidents,
        healing,
        deployments,
        operations,
        processes,
        tokens,
        events,
        health,
    )
)
LARGEST_BODY = 1024 * 1024
"""Bytes; nothing that is sent here needs more."""
PROTECTION = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""What a browser is told with every answer: nothing but our pages is ever run, framed or guessed at."""


def create_app(office: Office) -> FastAPI:
    """The application; its lifespan keeps the one connection that listens for signals."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bell: events.Bell = app.state.bell
        listener = asyncio.create_task(bell.run(office.conninfo))
        try:
            yield
        finally:
            bell.close()
            await door.close()
            await end_tasks(listener)

    app = CorrelatedApp(
        title="Lazaret",
        version=__version__,
        summary="Keeps a fleet of rented VPS set up, watched and healed.",
        lifespan=lifespan,
        docs_url=None,  # the pages of FastAPI load their scripts from another host
        redoc_url=None,
    )
    door = McpDoor(office)
    app.router.routes.append(Route(PATH, endpoint=door))
    app.state.office = office
    app.state.bell = events.Bell()
    app.state.facts = FleetFacts(office)
    add_problem_handlers(app, office.redactor)
    app.middleware("http")(_protect)
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # to include them would make each route anew, at the first request
    add_dashboard(app)
    return app


def create_health_app(office: Office) -> FastAPI:
    """What a process without the API answers: whether it lives, and its metrics."""
    app = FastAPI(title="Lazaret", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.office = office
    app.state.facts = None
    add_problem_handlers(app, office.redactor)
    app.include_router(health.router)
    return app


async def _protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Headers that every answer has; a page has stricter ones of its own."""
    answer = _refusal_of_body(request) or await call_next(request)
    for name, value in PROTECTION.items():
        answer.headers.setdefault(name, value)
    if is_https(request):
        answer.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return answer


def _refusal_of_body(request: Request) -> Response | None:
    """A body must say its length, and be of one that anything here can need."""
    length = request.headers.get("content-length", "0")
    if request.headers.get("transfer-encoding") or not (length.isascii() and length.isdigit()):
        return problem(411, "length_required", "The body's length is missing.", hint="Send Content-Length.")
    if int(length) > LARGEST_BODY:
        return problem(413, "body_too_large", f"The body is larger than {LARGEST_BODY} bytes.")
    return None
