"""Who may call what, and what becomes of hostile input: a clear problem, never a 500."""

import functools
import json
import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

from lazaret.entrypoints.api.app import LARGEST_BODY
from tests.integration.api.conftest import Api

OPEN = {"/healthz", "/readyz", "/metrics"}
VIEWER = {"GET"}
ADMIN = ("/api/tokens",)
BAD_HANDLES = ["%00", "x" * 65, "a%2Fb", "ü", "..%2f..%2fetc", "%ff"]
DEEP: Any = functools.reduce(lambda inner, _: {"a": inner}, range(500), 1)
BAD_VALUES: list[Any] = [
    None, True, -1, 2**31, 2**64, 1e400, "", "\x00", "\ud800", "x" * 20_000, [], {}, {"a": {"b": [1, None]}}, "🚑",
    ["\x00"], ["\ud800"], [1e400], {"\x00": 1}, DEEP, [DEEP],
]  # fmt: skip


COMPOSE = "services: {a: {image: b}}"
PRIVILEGED = "services: {a: {image: b, privileged: true}}"
UNREADABLE, BEFORE_TIME = "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"
NO_LIST = "services: {a: {image: b, ports: 5}}"
HOST = "services: {a: {image: b, volumes: ['/:/host']}}"
BOMB = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 8))
WINDOW = {"starts_at": "2001-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z", "reason": "r"}
DEPLOYMENT: dict[str, Any] = {
    "project_id": "shop",
    "service_name": "web",
    "server_handle": "vps-900001",
    "port": 20_000,
    "spec": {"image": "a", "container_port": 80},
}
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/users/"): {"telegram_id": 1, "username": "a", "is_admin": False},
    ("PUT", "/users/{telegram_id}/role"): {"role": "viewer"},
    ("PATCH", "/api/servers/{handle}"): {"notes": "n", "rebuild_policy": "ask", "reason": "r"},
    ("POST", "/api/incidents/"): {
        "server_handle": "vps-900001",
        "incident_type": "service_down",
        "details": {},
        "affected_services": [],
    },
    ("PATCH", "/api/incidents/{incident_id}"): {"status": "resolved", "details": {}},
    ("POST", "/api/tokens/"): {"name": "n", "role": "viewer"},
    ("POST", "/api/servers/{handle}/force-rebuild"): {"reinstall": False, "os_template": None, "reason": "r"},
    ("POST", "/api/servers/{handle}/provision"): {"root_password": "p", "converge": False},
    ("POST", "/api/approvals/{approval_id}/approve"): {"note": "n"},
    ("POST", "/api/approvals/{approval_id}/deny"): {"note": "n"},
    ("POST", "/api/holds/"): {"server_handle": "vps-900001", "reason": "r", "expires_at": None},
    ("POST", "/api/maintenance-windows/"): WINDOW | {"server_handle": "vps-900001"},
    ("POST", "/api/deployments/"): DEPLOYMENT,
}
"""A body for every route that takes one, each field of which is then made bad in turn."""


def needed_role(route: APIRoute, method: str) -> str:
    if route.path.startswith(ADMIN):
        return "admin"
    if route.path.endswith("/evidence"):  # logs of servers may tell much
        return "operator"
    return "viewer" if method in VIEWER else "operator"


def routes(api: Api) -> list[tuple[APIRoute, str]]:
    """Those of programs; the pages of people are in the matrix of `test_permissions.py`."""
    found = [route for route in api.app.routes if isinstance(route, APIRoute) and route.include_in_schema]
    return [(route, method) for route in found for method in sorted(route.methods)]


def path_of(route: APIRoute) -> str:
    path = route.path
    for name in route.param_convertors:
        path = path.replace(f"{{{name}}}", "vps-900001" if name == "handle" else "77")
    return path


async def test_every_route_is_closed_below_its_role(api: Api) -> None:
    seen = set()
    for route, method in routes(api):
        if route.path in OPEN or route.path == "/api/events":
            continue
        seen.add(route.path)
        role = needed_role(route, method)
        refused = await api[""].request(method, path_of(route))
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated"), route.path
        for other in ("viewer", "operator"):
            if ["viewer", "operator", "admin"].index(other) < ["viewer", "operator", "admin"].index(role):
                answer = await api[other].request(method, path_of(route))
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), f"{method} {route.path}"
    assert {"/api/servers/{handle}", "/users/", "/api/incidents/{incident_id}", "/api/tokens/{token_id}"} <= seen
    events = await api[""].get("/api/events")
    assert events.status_code == 401


@pytest.mark.parametrize("header", ["Bearer", "Bearer x", "Basic eDp5", "Bearer lzr_" + "a" * 5000, "bearer \x7f"])
async def test_bad_tokens(api: Api, header: str) -> None:
    answer = await api[""].get("/api/servers/", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"type", "title", "status", "code", "detail", "hint"}


async def test_hostile_paths_and_queries(api: Api) -> None:
    for handle in BAD_HANDLES:
        for suffix in ("", "/operations", "/incidents"):
            answer = await api["admin"].get(f"/api/servers/{handle}{suffix}")
            assert answer.status_code in {404, 422}, (handle, answer.text)
    for query in (
        "limit=0",
        "limit=501",
        "limit=x",
        "offset=-1",
        f"offset={2**70}",
        "status=sleepy",
        "search=%00",
        "is_managed=7",
    ):
        answer = await api["admin"].get(f"/api/servers/?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), query
    for identifier in ("0", "-1", "x", str(2**64), "1.5", "%201%20", "+1", "1_0", "%EF%BC%91", "1" * 5000):
        for path in ("/api/operations/", "/api/incidents/", "/users/"):
            assert (await api["admin"].get(path + identifier)).status_code == 422, path + identifier


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("server=vps-900001", "Did you mean server_handle?"),
        ("limit=1&stauts=failed", "Did you mean status?"),
        ("zzz=1", "It has: limit, offset, server_handle, status."),
        ("%1B[31m=1", "It has"),
        ("server_handle=", "at least 1 character"),
        ("server_handle=%1B[31m", "control characters"),
        ("limit=%201%20", "digits only"),
    ],
)
async def test_a_filter_that_would_not_filter_is_refused(api: Api, query: str, says: str) -> None:
    answer = await api["viewer"].get(f"/api/operations/?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), query
    assert says in answer.json()["detail"] + answer.json()["hint"], answer.text


async def test_no_route_takes_a_query_that_it_does_not_know(api: Api) -> None:
    for route, method in routes(api):
        answer = await api["admin"].request(method, path_of(route), params={"no_such_parameter": "1"})
        if route.path in OPEN:
            assert answer.status_code == 200, "probes add parameters of their own"
        else:
            assert "no query parameter 'no_such_parameter'" in answer.text, f"{method} {route.path}: {answer.text}"
    assert (await api[""].get("/sign-in?utm=1")).status_code == 200, "pages are opened by all sorts of links"


async def test_hostile_bodies_are_never_a_500(api: Api) -> None:
    statuses = set()
    for (method, template), body in GOOD.items():
        path = template.replace("{handle}", "vps-900001")
        path = re.sub(r"\{\w+\}", "77", path)
        for field in (*body, "unknown_field"):
            for value in BAD_VALUES:
                raw = json.dumps(body | {field: value})
                answer = await api["admin"].request(
                    method, path, content=raw, headers={"Content-Type": "application/json"}
                )
                assert answer.status_code < 500, (path, field, value, answer.text)
                statuses.add(answer.status_code)
        for raw in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 3000, b'{"details": {"a": "\\u0000"}}'):
            answer = await api["admin"].request(method, path, content=raw, headers={"Content-Type": "application/json"})
            assert answer.status_code < 500, (path, raw, answer.text)
    assert 422 in statuses


async def test_no_route_with_a_body_is_forgotten(api: Api) -> None:
    document = (await api[""].get("/openapi.json")).json()
    with_body = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if "requestBody" in described
    }
    assert with_body == set(GOOD)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/api/servers/vps-1/why", None, 404, "There is no server"),
        ("GET", "/api/servers/vps-1/health", None, 404, "There is no server"),
        ("GET", "/api/servers/vps-900001/health?hours=1e9", None, 422, "hours"),
        ("GET", "/api/servers/vps-1/services", None, 404, "There is no server"),
        ("GET", "/api/incidents/77/timeline", None, 404, "There is no incident"),
        ("GET", "/api/incidents/77/evidence", None, 404, "There is no incident"),
        ("POST", "/api/incidents/77/recover", None, 404, "There is no incident"),
        ("POST", "/api/approvals/77/approve", None, 404, "There is no approval"),
        ("POST", "/api/approvals/77/deny", {"note": "x" * 20_000}, 422, "note"),
        ("POST", "/api/holds/", {"server_handle": "vps-1", "reason": "r"}, 404, "There is no server"),
        ("POST", "/api/holds/", {"reason": "r", "expires_at": "2001-01-01T00:00:00Z"}, 422, "past"),
        ("POST", "/api/holds/", {"reason": "r", "expires_at": "tomorrow"}, 422, "expires_at"),
        ("POST", "/api/holds/", {"reason": "r", "expires_at": UNREADABLE}, 422, "out of all time"),
        ("POST", "/api/maintenance-windows/", WINDOW | {"ends_at": UNREADABLE}, 422, "out of all time"),
        ("POST", "/api/maintenance-windows/", WINDOW | {"starts_at": BEFORE_TIME}, 422, "out of all time"),
        ("POST", "/api/tokens/", {"name": "x", "role": "viewer", "expires_at": UNREADABLE}, 422, "out of all time"),
        ("DELETE", "/api/holds/77", None, 404, "There is no hold"),
        ("POST", "/api/maintenance-windows/", WINDOW | {"ends_at": "2001-01-01T00:00:00Z"}, 422, "end"),
        ("POST", "/api/maintenance-windows/", WINDOW | {"server_handle": "vps-1"}, 404, "There is no server"),
        ("DELETE", "/api/maintenance-windows/77", None, 404, "There is no"),
        ("GET", "/api/deployments/77", None, 404, "There is no deployment"),
        ("POST", "/api/deployments/77/stop", None, 404, "There is no deployment"),
        ("POST", "/api/deployments/77/explode", None, 422, "action"),
        ("POST", "/api/deployments/77/logs", None, 404, "There is no deployment"),
        ("POST", "/api/deployments/77/logs?lines=0", None, 422, "lines"),
        ("DELETE", "/api/deployments/77", None, 404, "There is no deployment"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"server_handle": "vps-1"}, 404, "There is no server"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"server_handle": "vps-900009"}, 409, "not managed"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"server_handle": "vps-900001"}, 409, "vps-900001"),
        ("POST", "/api/deployments/", {**DEPLOYMENT, "server_handle": None}, 409, "No server"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"image": "a", "compose": COMPOSE}}, 422, "either image"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": "a: ["}}, 422, "is no YAML"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": PRIVILEGED}}, 422, "the host itself"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": NO_LIST}}, 422, "service a: ports: "),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": "[" * 30_000}}, 422, "nested too deep"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": "? " * 5000}}, 422, "a key is one word"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": BOMB}}, 422, "aliases are not read"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"spec": {"compose": HOST}}, 422, "service a: volumes: "),
        ("POST", "/api/tokens/", {"name": "\x1b[31mred", "role": "viewer"}, 422, "control characters"),
        ("POST", "/api/tokens/", {"name": " ", "role": "viewer"}, 422, "at least 1 character"),
        ("POST", "/users/", {"telegram_id": True}, 422, "telegram_id"),
        ("POST", "/api/holds/", {"reason": "a\nb"}, 422, "ends of lines"),
        ("DELETE", "/api/deployments/%2077%20", None, 422, "digits only"),
        ("GET", "/api/nowhere", None, 404, "list the routes"),
        ("GET", "/api", None, 404, "list the routes"),
        ("PUT", "/users/", None, 405, "It takes GET, POST."),
        ("POST", "/api/deployments/", DEPLOYMENT | {"port": 22}, 422, "port"),
        ("POST", "/api/deployments/", DEPLOYMENT | {"service_name": "../etc"}, 422, "service_name"),
    ],
)
async def test_what_is_wrong_is_told(
    api: Api, method: str, path: str, body: dict[str, Any] | None, status: int, says: str
) -> None:
    answer = await api["admin"].request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert says in answer.text, answer.text


async def test_no_part_of_a_refusal_shows_a_secret(api: Api) -> None:
    api.office.redactor.hide(SecretStr("hunter2secret"))
    spec = {"image": "a", "container_port": 80, "files": {"../hunter2secret": "x"}, "hunter2secret": 1}
    answer = await api["admin"].post("/api/deployments/", json=DEPLOYMENT | {"spec": spec})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 2), answer.text
    assert "hunter2secret" not in answer.text and "[hidden]" in answer.text


async def test_a_body_that_is_no_json_is_told_where(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api["admin"].post("/users/", content=b'{"a" 1}', headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "The body is no JSON: Expecting ':' delimiter at character 5."
    assert "JSON" in answer.json()["hint"]
    assert (await api["admin"].put("/users/")).headers["allow"] == "GET, POST"


async def test_too_large_and_without_length(api: Api) -> None:
    large = await api["admin"].post("/users/", content=b"x" * (LARGEST_BODY + 1))
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")

    async def chunks():  # type: ignore[no-untyped-def]
        yield b"{}"

    unsized = await api["admin"].post("/users/", content=chunks())
    assert unsized.status_code == 411
    assert (await api["admin"].get("/nowhere")).status_code == 404
    assert (await api[""].get("/docs")).status_code == 404, "it would load scripts from another host"
    assert (await api["admin"].put("/users/")).status_code == 405


async def test_every_answer_tells_a_browser_to_run_and_guess_nothing(api: Api) -> None:
    for path in ("/api/servers/", "/openapi.json", "/metrics", "/static/dashboard.css", "/nowhere", "/sign-in", "/"):
        headers = (await api["admin"].get(path)).headers
        assert headers["content-security-policy"].startswith("default-src 'none'"), path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert "unsafe" not in headers["content-security-policy"], path


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_json_that_does_not_say_so(api: Api, kind: str) -> None:
    """As `curl -d` sends it."""
    for method, path in (("PATCH", "/api/servers/vps-900001"), ("POST", "/api/tokens/")):
        headers = {"Content-Type": kind} if kind else {}
        answer = await api["admin"].request(method, path, content=b'{"notes": "n", "name": "n"}', headers=headers)
        problem = answer.json()
        assert answer.status_code == 422 and problem["code"] == "invalid_input", problem
        assert "Content-Type: application/json" in problem["hint"] and "JSON" in problem["detail"], problem
        assert kind in problem["detail"]
    told = await api["admin"].patch("/api/servers/vps-900001", json=["notes"])
    assert "Content-Type" not in told.json()["hint"], "who says JSON is told what is wrong with it"
