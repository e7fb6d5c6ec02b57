"""Deployments: what runs where, a form for a new service, one service with its versions and logs."""

from typing import Any

from fastapi import APIRouter
from pydantic import SecretStr, ValidationError
from starlette.datastructures import FormData
from starlette.responses import Response

from lazaret.deployments import store
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import ServiceSpec, problem_in
from lazaret.entrypoints.api.shapes import Id
from lazaret.entrypoints.dashboard.web import Acting, Seeing, Visit, text_of
from lazaret.entrypoints.harbour import harbour_of
from lazaret.kernel.errors import InvalidInput, LazaretError
from lazaret.operations.readers import readable_result
from lazaret.operations.store import list_operations

router = APIRouter(include_in_schema=False)
PAGE = 50
ACTIONS = ("start", "stop", "redeploy", "logs", "remove")
FIELDS = (
    "project", "service", "server", "port", "image", "container_port", "compose", "environment", "secrets",
    "volumes", "health", "path", "memory_mb", "disk_mb", "public",
)  # fmt: skip


@router.get("/deployments")
async def deployments(visit: Seeing, q: str = "", page: int = 1) -> Response:
    """What runs where."""
    number = max(1, min(page, 100_000))
    async with visit.office.db.transaction() as session:
        rows, total = await store.list_deployments(
            session, project=q.replace("\x00", "")[:100], limit=PAGE, offset=(number - 1) * PAGE
        )
    return visit.page("deployments.html", rows=rows, page=number, pages=max(1, -(-total // PAGE)), q=q)


@router.get("/deployments/new")
async def new(visit: Acting, server: str = "") -> Response:
    """The form."""
    return visit.page("deploy.html", typed={"server": server, "public": "on", "health": "docker"}, refused="")


@router.post("/deployments/new")
async def deploy(visit: Acting) -> Response:
    """Deploy a service, or a new version of one. What was typed stays when it is refused, secrets left out."""
    form = await visit.request.form()
    try:
        typed = {name: text_of(form, name) for name in FIELDS}
        order = _order(typed)
        async with visit.office.db.transaction() as session:
            deployment, _ = await harbour_of(visit.office).deploy(session, order, visit.actor, at=visit.at)
    except ValidationError as error:
        return _again(visit, form, visit.translated(InvalidInput(f"{problem_in(error)}.")))
    except LazaretError as error:
        return _again(visit, form, visit.translated(error))
    return visit.back(f"/deployments/{deployment.id}", visit.say("It is being deployed."))


def _again(visit: Visit, form: FormData, refused: str) -> Response:
    typed = {name: str(form.get(name, "")) for name in FIELDS if name != "secrets"}
    return visit.page("deploy.html", http_status=422, typed=typed, refused=visit.office.redactor.clean(refused))


def _order(typed: dict[str, str]) -> Order:
    fields: dict[str, Any] = {
        "environment": _pairs(typed["environment"], "environment"),
        "secrets": {name: SecretStr(value) for name, value in _pairs(typed["secrets"], "secrets").items()},
        "is_public": bool(typed["public"]),
    }
    if typed["compose"]:
        fields["compose"] = typed["compose"]
    else:
        fields |= {
            "image": typed["image"],
            "container_port": _number(typed["container_port"], "container_port"),
            "volumes": tuple(line.strip() for line in typed["volumes"].splitlines() if line.strip()),
        }
    if typed["health"] == "http":
        fields["health"] = {"kind": "http", "path": typed["path"] or "/"}
    elif typed["health"] == "tcp":
        fields["health"] = {"kind": "tcp"}
    for name in ("memory_mb", "disk_mb"):
        if typed[name]:
            fields[name] = _number(typed[name], name)
    if not typed["project"] or not typed["service"]:
        raise InvalidInput("Project and service need a name.", hint="Small letters, digits and hyphens.")
    port = _number(typed["port"], "port") if typed["port"] else None
    return Order(typed["project"], typed["service"], ServiceSpec(**fields), typed["server"] or None, port)


def _number(value: str, name: str) -> int:
    if not value.isdecimal() or not value.isascii() or len(value) > 9:
        raise InvalidInput(f"The field {name} needs a whole number.", hint="For example 8080.")
    return int(value)


def _pairs(block: str, name: str) -> dict[str, str]:
    found = {}
    for line in block.splitlines():
        if not line.strip():
            continue
        key, mark, value = line.partition("=")
        if not mark:
            raise InvalidInput(f"A line of {name} has no '='.", hint="Write NAME=value, one on each line.")
        found[key.strip()] = value.strip()
    return found


@router.get("/deployments/{deployment_id}")
async def deployment(visit: Seeing, deployment_id: Id) -> Response:
    """One service."""
    async with visit.office.db.transaction() as session:
        found = await store.get_deployment(session, deployment_id)
        releases = await store.releases_of(session, deployment_id)
        recent, _ = await list_operations(session, handle=found.server_handle, limit=50)
    mine = [one for one in recent if one.params.get("deployment_id") == deployment_id]
    results = (readable_result(one, visit.who.role) for one in mine if one.params.get("action") == "logs")
    logs = next((result["logs"] for result in results if "logs" in result), None)
    return visit.page("deployment.html", deployment=found, releases=releases, operations=mine[:10], logs=logs)


@router.post("/deployments/{deployment_id}/{action}")
async def act(visit: Acting, deployment_id: Id, action: str) -> Response:
    """Start, stop, deploy the good version again, read the logs, remove."""
    form = await visit.request.form()

    async def do() -> str:
        if action not in ACTIONS:
            raise InvalidInput(visit.say("There is no such action."))
        async with visit.office.db.transaction() as session:
            found = await store.get_deployment(session, deployment_id)
            if action == "remove" and text_of(form, "typed") != found.service_name:
                raise InvalidInput(
                    visit.say("To remove it, type the name of the service: its volumes go as well."),
                    hint=visit.say("Nothing was done."),
                )
            operation = await harbour_of(visit.office).act(session, deployment_id, action, visit.actor, at=visit.at)
        return visit.say("Operation {id} is recorded.", id=operation.id)

    return await visit.act(f"/deployments/{deployment_id}", do)
