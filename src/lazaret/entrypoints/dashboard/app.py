"""Mounts the dashboard on the application of the API."""

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from lazaret.entrypoints.dashboard import audit, deployments, fleet, incidents, live, operations, settings, sign_in
from lazaret.entrypoints.dashboard.web import HERE

PAGES = (sign_in, live, operations, incidents, deployments, audit, settings, fleet)

_OF_PROGRAMS = frozenset({"api", "mcp", "users", "openapi.json", "metrics", "healthz", "readyz"})
"""The first part of an address that programs ask for."""


def add_dashboard(app: FastAPI) -> None:
    """Every page, and the few static files."""
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    for module in PAGES:
        app.router.routes.extend(module.router.routes)


def is_page(path: str) -> bool:
    """Whether people, and not programs, ask for this."""
    return path.lstrip("/").partition("/")[0] not in _OF_PROGRAMS
