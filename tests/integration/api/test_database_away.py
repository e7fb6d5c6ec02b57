"""While the database is away every route says so, with the documented code; other faults of the database stay ours."""

import psycopg
import pytest
import sqlalchemy.exc

from tests.database import away
from tests.integration.api.conftest import Api

TOOLS = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/servers/", None),
        ("GET", "/api/operations/1", None),
        ("POST", "/users/", {"telegram_id": 501}),
        ("GET", "/api/events", None),
        ("POST", "/mcp", TOOLS),
    ],
)
async def test_a_call_may_be_made_again(api: Api, method: str, path: str, body: dict[str, object] | None) -> None:
    with away(api.office.conninfo):
        answer = await api["operator"].request(method, path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["detail"], answer.json()["hint"]) == (
        "The database does not answer.",
        "Try again in a moment.",
    )
    assert answer.headers["x-content-type-options"] == "nosniff", "it is an answer like any other"
    assert (await api["operator"].get("/api/servers/")).status_code == 200, "it is back"


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/deployments/1"), ("POST", "/sign-in")])
async def test_a_page_says_it_in_the_language_of_its_reader(api: Api, method: str, path: str) -> None:
    with away(api.office.conninfo):
        page = await api[""].request(
            method, path, data={"token": "x", "to": "/"} if method == "POST" else None,
            headers={"Accept-Language": "ru", "Cookie": "lazaret=x"},
        )  # fmt: skip
    assert page.status_code == 503 and "База данных не отвечает." in page.text, page.text


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        (psycopg.OperationalError("the connection is lost"), 503, "unavailable"),
        (psycopg.errors.UndefinedTable("no such table"), 500, "internal_error"),
        (sqlalchemy.exc.ProgrammingError("select", {}, Exception("no such table")), 500, "internal_error"),
    ],
)
async def test_only_what_is_away_is_said_to_be(api: Api, cause: Exception, status: int, code: str) -> None:
    """As it stands, and wrapped by a library in an error of its own."""

    @api.app.get("/api/bare")
    async def bare() -> None:
        raise cause

    @api.app.get("/api/wrapped")
    async def wrapped() -> None:
        raise RuntimeError("the queue failed") from cause

    for path in ("/api/bare", "/api/wrapped"):
        answer = await api[""].get(path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (path, answer.text)
