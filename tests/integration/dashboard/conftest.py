"""The dashboard in this process, over an example fleet, with somebody of each role signed in."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.office import Office
from lazaret.kernel import audit
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link
from tests.example_fleet import add_example_fleet

TESTER = audit.Actor("tester", audit.Channel.CLI)
HOST = "http://lazaret.test"


@dataclass
class Browser:
    """A client that keeps cookies and reads the form token from the page before."""

    http: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        return await self.http.get(path)

    async def post(self, path: str, /, *, on: str = "/", **fields: str) -> httpx.Response:
        page = await self.http.get(on)
        found = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert found, f"no form on {on}"
        return await self.http.post(path, data={"csrf": found[1], **fields}, headers={"Origin": HOST})


def client_of(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=HOST, follow_redirects=False)


async def sign_in(app: FastAPI, office: Office, role: Role) -> Browser:
    http = client_of(app)
    async with office.db.transaction() as session:
        link = await create_login_link(session, role.value, role, TESTER, at=office.clock.now())
    answer = await http.post(f"/sign-in/{link.get_secret_value()}")
    assert answer.status_code == 303, answer.text
    return Browser(http)


@pytest.fixture
async def app(office: Office) -> FastAPI:
    return create_app(office)


@pytest.fixture
async def fleet(office: Office) -> None:
    async with office.db.transaction() as session:
        await add_example_fleet(session, at=office.clock.now())


@pytest.fixture
async def browsers(app: FastAPI, office: Office, fleet: None) -> AsyncIterator[dict[Role, Browser]]:
    made = {role: await sign_in(app, office, role) for role in Role}
    yield made
    for one in made.values():
        await one.http.aclose()
