"""Who may do what: one matrix of routes, pages, commands, buttons, command line and tools. Nothing is left out."""

import importlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
import typer
from fastapi import FastAPI

from lazaret.agents.caller import AgentCaller
from lazaret.agents.toolbox import BY_NAME, call_tool, tools_for
from lazaret.entrypoints.agency import open_agency
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
from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.bot.commands import COMMANDS
from lazaret.entrypoints.bot.presses import PRESSES
from lazaret.entrypoints.cli.main import COMMANDS as CLI
from lazaret.entrypoints.cli.permissions import NEEDS, needs
from lazaret.entrypoints.dashboard.app import PAGES
from lazaret.entrypoints.office import Office
from lazaret.kernel.errors import Forbidden, Unauthenticated
from lazaret.users.model import Role
from lazaret.users.store import create_token
from tests.example_fleet import add_example_fleet
from tests.integration.dashboard.conftest import TESTER, Browser, client_of, sign_in

API = (users, audit, servers, incidents, healing, deployments, operations, processes, tokens, events, health)
ANYBODY = None
V, O, A = Role.VIEWER, Role.OPERATOR, Role.ADMIN  # noqa: E741


@dataclass(frozen=True)
class Row:
    """One thing that can be done, who may, and every way to do it. `api` and `pages` are `METHOD path`."""

    role: Role | None
    api: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    buttons: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    cli: tuple[str, ...] = ()


MATRIX = {
    "sign in": Row(
        ANYBODY,
        pages=("GET /sign-in", "POST /sign-in", "GET /sign-in/{secret}", "POST /sign-in/{secret}"),
        commands=("start",),
    ),
    "run Lazaret": Row(ANYBODY, cli=("up", "api", "worker", "monitor", "bot", "demo", "doctor")),
    "let an agent ask, each tool by its own row": Row(V, cli=("mcp",)),
    "see whether it lives": Row(ANYBODY, api=("GET /healthz", "GET /readyz", "GET /metrics")),
    "see Lazaret's own processes": Row(V, api=("GET /api/processes/",), cli=("processes",)),
    "let processes log more": Row(A, cli=("log-level",)),
    "be oneself": Row(V, pages=("POST /sign-out", "POST /language"), commands=("help", "mute", "language", "login")),
    "see servers": Row(
        V,
        api=(
            "GET /api/servers/",
            "GET /api/servers/{handle}",
            "GET /api/servers/{handle}/health",
            "GET /api/servers/{handle}/services",
        ),
        pages=("GET /", "GET /servers/{handle}", "GET /live"),
        commands=("status", "servers", "server"),
        buttons=("PAGE",),
        tools=("list_servers", "get_server", "get_services_on_server"),
        cli=("servers",),
    ),
    "ask why": Row(
        V,
        api=("GET /api/servers/{handle}/why",),
        commands=("why",),
        buttons=("WHY",),
        tools=("why",),
        cli=("why",),
    ),
    "log in and look": Row(O, cli=("check",)),
    "see incidents": Row(
        V,
        api=(
            "GET /api/incidents/",
            "GET /api/incidents/active",
            "GET /api/incidents/{incident_id}",
            "GET /api/incidents/{incident_id}/timeline",
            "GET /api/servers/{handle}/incidents",
        ),
        pages=("GET /incidents", "GET /incidents/{incident_id}"),
        commands=("incidents",),
        buttons=("SNOOZE_1H", "SNOOZE_4H"),
        tools=("list_incidents", "get_incident"),
        cli=("incidents", "incidents show"),
    ),
    "see evidence": Row(O, api=("GET /api/incidents/{incident_id}/evidence",), cli=("incidents evidence",)),
    "open and change incidents": Row(O, api=("POST /api/incidents/", "PATCH /api/incidents/{incident_id}")),
    "acknowledge": Row(
        O,
        api=("POST /api/incidents/{incident_id}/acknowledge",),
        pages=("POST /incidents/{incident_id}/acknowledge",),
        buttons=("ACKNOWLEDGE",),
        cli=("incidents ack",),
    ),
    "recover": Row(
        O,
        api=("POST /api/incidents/{incident_id}/recover",),
        pages=("POST /incidents/{incident_id}/recover",),
        cli=("incidents recover",),
    ),
    "see approvals": Row(
        V,
        api=("GET /api/approvals/",),
        pages=("GET /approvals",),
        tools=("get_approval",),
        cli=("approvals",),
    ),
    "approve and deny": Row(
        O,
        api=("POST /api/approvals/{approval_id}/approve", "POST /api/approvals/{approval_id}/deny"),
        pages=("POST /approvals/{approval_id}/{answer}",),
        buttons=("APPROVE", "DENY"),
        cli=("approvals approve", "approvals deny"),
    ),
    "provision and rebuild": Row(
        O,
        api=(
            "POST /api/servers/{handle}/provision",
            "POST /api/servers/{handle}/force-rebuild",
            "PATCH /api/servers/{handle}",
        ),
        pages=("POST /servers/{handle}/{action}",),
        commands=("provision", "rebuild"),
        tools=("provision",),
        cli=("provision", "rebuild", "change"),
    ),
    "see holds and windows": Row(
        V,
        api=("GET /api/holds/", "GET /api/maintenance-windows/"),
        pages=("GET /settings",),
        cli=("holds", "windows"),
    ),
    "freeze and lift": Row(
        O,
        api=("POST /api/holds/", "DELETE /api/holds/{hold_id}"),
        pages=("POST /settings/freeze", "POST /settings/holds/{hold_id}/lift"),
        commands=("freeze", "unfreeze"),
        cli=("freeze", "unfreeze"),
    ),
    "plan maintenance": Row(
        O,
        api=("POST /api/maintenance-windows/", "DELETE /api/maintenance-windows/{window_id}"),
        pages=("POST /settings/windows", "POST /settings/windows/{window_id}/cancel"),
        commands=("maintenance",),
        cli=("windows plan", "windows cancel"),
    ),
    "see operations": Row(
        V,
        api=(
            "GET /api/operations/",
            "GET /api/operations/{operation_id}",
            "GET /api/operations/{operation_id}/events",
            "GET /api/servers/{handle}/operations",
            "GET /api/events",
        ),
        pages=("GET /operations", "GET /operations/{operation_id}"),
        commands=("operations",),
        tools=("list_operations", "get_operation"),
        cli=("operations", "operations show", "operations follow"),
    ),
    "cancel operations": Row(
        O,
        api=("POST /api/operations/{operation_id}/cancel",),
        pages=("POST /operations/{operation_id}/cancel",),
        cli=("operations cancel",),
    ),
    "see deployments": Row(
        V,
        api=("GET /api/deployments/", "GET /api/deployments/{deployment_id}"),
        pages=("GET /deployments", "GET /deployments/{deployment_id}"),
        commands=("deployments",),
        cli=("deployments", "deployments show"),
    ),
    "deploy": Row(
        O,
        api=(
            "POST /api/deployments/",
            "POST /api/deployments/{deployment_id}/logs",
            "POST /api/deployments/{deployment_id}/{action}",
            "DELETE /api/deployments/{deployment_id}",
        ),
        pages=("GET /deployments/new", "POST /deployments/new", "POST /deployments/{deployment_id}/{action}"),
        tools=("deploy", "follow_errand"),
        cli=tuple(f"deployments {one}" for one in ("deploy", "start", "stop", "redeploy", "remove", "logs")),
    ),
    "see who did what": Row(
        V,
        api=("GET /api/audit/",),
        pages=("GET /audit", "GET /audit.jsonl", "GET /audit.csv"),
        cli=("audit",),
    ),
    "see people": Row(V, api=("GET /users/", "GET /users/{telegram_id}"), cli=("users",)),
    "register people": Row(O, api=("POST /users/",)),
    "rule roles and tokens": Row(
        A,
        api=(
            "PUT /users/{telegram_id}/role",
            "GET /api/tokens/",
            "POST /api/tokens/",
            "DELETE /api/tokens/{token_id}",
        ),
        pages=(
            "POST /settings/people/{telegram_id}",
            "POST /settings/tokens",
            "POST /settings/tokens/{token_id}/revoke",
        ),
        cli=("users role", "token create", "token list", "token revoke", "token login", "token logout"),
    ),
    "back up and restore": Row(A, cli=("backup", "restore")),
}
VALUES = {
    "handle": "vps-2001", "action": "stop", "answer": "deny", "secret": "x" * 43, "telegram_id": "777",
    "incident_id": "1", "approval_id": "1", "operation_id": "1", "deployment_id": "1", "token_id": "999",
    "hold_id": "999", "window_id": "999",
}  # fmt: skip
STREAMS = {"GET /live", "GET /api/events"}
"""They have no end: that they begin is tested elsewhere."""


def surfaces(*modules: object) -> set[str]:
    return {
        f"{method} {route.path}"
        for module in modules
        for route in module.router.routes  # type: ignore[attr-defined]
        for method in route.methods
    }


def test_everything_that_can_be_done_stands_in_one_row() -> None:
    for name, there in (
        ("api", surfaces(*API)),
        ("pages", surfaces(*PAGES)),
        ("commands", set(COMMANDS)),
        ("buttons", {act.name for act in PRESSES}),
        ("tools", set(BY_NAME)),
        ("cli", set(command_line())),
    ):
        listed = [one for row in MATRIX.values() for one in getattr(row, name)]
        assert len(listed) == len(set(listed)), name
        assert set(listed) == there, name


def command_line() -> dict[str, str]:
    """Every command with its function, as `permissions.py` names it; the lab is a tool of its own."""
    found = {}
    for lazy in (one for one in CLI if one.name != "lab"):
        module, _, attribute = lazy.place.partition(":")
        loaded = getattr(importlib.import_module(module), attribute)
        if not isinstance(loaded, typer.Typer):
            found[lazy.name] = loaded
            continue
        if loaded.registered_callback is not None:
            found[lazy.name] = loaded.registered_callback.callback
        for one in loaded.registered_commands:
            found[f"{lazy.name} {one.name or one.callback.__name__}"] = one.callback  # type: ignore[union-attr]
    return {name: f"{one.__module__.rpartition('.')[2]}.{one.__name__}" for name, one in found.items()}


def test_the_command_line_needs_the_role_of_its_row() -> None:
    functions = command_line()
    for row in MATRIX.values():
        for command in row.cli:
            if row.role is not None:
                assert needs(functions[command]) == row.role, command
    assert set(NEEDS) <= set(functions.values()), "a command that is gone"
    assert needs("nobody.knows") == Role.ADMIN


def test_commands_and_buttons_need_the_role_of_their_row() -> None:
    for row in MATRIX.values():
        for command in row.commands:
            assert COMMANDS[command].role == row.role, command
        for act, handler in PRESSES.items():
            if act.name in row.buttons:
                assert handler.role == row.role, act


@dataclass
class Doors:
    programs: dict[Role | None, httpx.AsyncClient]
    people: dict[Role, Browser]


@pytest.fixture
async def doors(office: Office) -> AsyncIterator[Doors]:
    app: FastAPI = create_app(office)
    programs: dict[Role | None, httpx.AsyncClient] = {None: client_of(app)}
    async with office.db.transaction() as session:
        await add_example_fleet(session, at=office.clock.now())
        for role in Role:
            _, token = await create_token(session, role, role, TESTER, at=office.clock.now())
            programs[role] = client_of(app)
            programs[role].headers["Authorization"] = f"Bearer {token.get_secret_value()}"
    made = Doors(programs, {role: await sign_in(app, office, role) for role in Role})
    yield made
    for client in [*programs.values(), *(one.http for one in made.people.values())]:
        await client.aclose()


async def test_the_api_keeps_to_the_matrix(doors: Doors) -> None:
    for action, row in MATRIX.items():
        for surface in (one for one in row.api if one not in STREAMS):
            method, path = surface.split(" ")
            for role, client in doors.programs.items():
                answer = await client.request(method, path.format(**VALUES), json={} if method != "GET" else None)
                if row.role is None or (role is not None and role.includes(row.role)):
                    by_role = answer.status_code == 403 and answer.json()["code"] == Forbidden.code
                    assert answer.status_code != 401 and not by_role, (action, surface, role, answer.text)
                else:
                    code = Unauthenticated.code if role is None else Forbidden.code
                    assert answer.json()["code"] == code, (action, surface, role)


async def test_the_dashboard_keeps_to_the_matrix(doors: Doors) -> None:
    for action, row in MATRIX.items():
        if row.role is None or action == "be oneself":
            continue
        for surface in (one for one in row.pages if one not in STREAMS):
            method, template = surface.split(" ")
            path = template.format(**VALUES)
            for role, browser in doors.people.items():
                answer = await (browser.get(path) if method == "GET" else browser.post(path))
                may = role.includes(row.role)
                assert (answer.status_code != 403) is may, (action, surface, role, answer.status_code)


async def test_the_tools_keep_to_the_matrix(office: Office) -> None:
    """Those that act are offered to nobody where they are off, whatever the role."""
    async with open_agency(office) as agency:
        for row in MATRIX.values():
            for tool in row.tools:
                for role in Role:
                    for may_act in (True, False):
                        caller = AgentCaller("robot", role, may_act=may_act)
                        may = role.includes(row.role or V) and (may_act or not BY_NAME[tool].acts)
                        answer = await call_tool(agency, caller, tool, {"nonsense": True})
                        code = "invalid_input" if may else Forbidden.code
                        assert answer["error"]["code"] == code, (tool, role, may_act)
                        assert (BY_NAME[tool] in tools_for(caller)) is may
