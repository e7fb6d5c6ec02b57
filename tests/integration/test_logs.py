"""Logs of services may tell much: who may not ask for them does not read what somebody else asked for either."""

import pytest
from fastapi import FastAPI

from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.office import Office
from lazaret.operations.model import Operation
from lazaret.operations.readers import readable_result
from lazaret.users.model import Role
from lazaret.users.store import create_token
from tests.example_fleet import add_example_fleet
from tests.integration.dashboard.conftest import TESTER, client_of, sign_in

LINE = "POST /login password=hunter2"


def reading_of_logs(office: Office) -> Operation:
    """An operation by which somebody read the newest lines of the deployment 1 on vps-2002."""
    now = office.clock.now()
    return Operation(
        server_handle="vps-2002",
        kind="deploy",
        status="succeeded",
        requested_by="cli:ann",
        params={"deployment_id": 1, "action": "logs"},
        max_attempts=3,
        due_at=now,
        result={"deployment_id": 1, "logs": LINE},
        created_at=now,
        finished_at=now,
    )


@pytest.fixture
async def app(office: Office) -> FastAPI:
    async with office.db.transaction() as session:
        await add_example_fleet(session, at=office.clock.now())
        session.add(reading_of_logs(office))
    return create_app(office)


@pytest.mark.parametrize("role", list(Role))
def test_one_rule(role: Role, office: Office) -> None:
    expected = {"deployment_id": 1} | ({} if role is Role.VIEWER else {"logs": LINE})
    assert readable_result(reading_of_logs(office), role) == expected


@pytest.mark.parametrize("role", list(Role))
async def test_by_api(app: FastAPI, office: Office, role: Role) -> None:
    async with office.db.transaction() as session:
        _, token = await create_token(session, role, role, TESTER, at=office.clock.now())
    async with client_of(app) as http:
        http.headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        answers = {path: (await http.get(path)).text for path in (
            "/api/operations/2", "/api/operations/", "/api/operations/?server_handle=vps-2002",
            "/api/servers/vps-2002/operations", "/api/operations/2/events", "/api/deployments/1",
        )}  # fmt: skip
    assert all('"deployment_id":1' in answers[path] for path in answers if "/operations" in path and "ev" not in path)
    told = {path for path, text in answers.items() if LINE in text}
    if role is Role.VIEWER:
        assert not told
    else:
        lists = {"/api/operations/", "/api/operations/?server_handle=vps-2002", "/api/servers/vps-2002/operations"}
        assert told >= {"/api/operations/2", *lists}


@pytest.mark.parametrize("role", list(Role))
async def test_on_the_pages(app: FastAPI, office: Office, role: Role) -> None:
    browser = await sign_in(app, office, role)
    pages = {path: (await browser.get(path)).text for path in ("/deployments/1", "/operations/2", "/operations")}
    told = {path for path, text in pages.items() if LINE in text}
    assert told == (set() if role is Role.VIEWER else {"/deployments/1"})
    assert ("Logs may tell much: operators see them." in pages["/deployments/1"]) is (role is Role.VIEWER)
    assert "Ask for them" not in pages["/deployments/1"]
    await browser.http.aclose()
