"""The API in this process, over a fresh database with one managed server and one ghost."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI

from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.office import Office
from lazaret.kernel import audit
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus
from lazaret.users.model import Role
from lazaret.users.store import create_token

TESTER = audit.Actor("tester", audit.Channel.CLI)


def a_server(office: Office, provider_id: int, *, managed: bool, status: ServerStatus) -> Server:
    now = office.clock.now()
    return Server(
        handle=f"vps-{provider_id}",
        provider="time4vps",
        provider_id=provider_id,
        host=f"h{provider_id}.example",
        public_ip=f"127.9.{provider_id // 250 % 250}.{provider_id % 250}",
        is_managed=managed,
        status=status.value,
        status_since=now,
        created_at=now,
        updated_at=now,
    )


@dataclass(slots=True)
class Api:
    """The application and a client for each role; the key "" has no token."""

    app: FastAPI
    office: Office
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    def __getitem__(self, role: str) -> httpx.AsyncClient:
        return self.clients[role]


@pytest.fixture
async def api(office: Office) -> AsyncIterator[Api]:
    """`vps-900001` is managed and ready, `vps-900009` is a ghost."""
    app = create_app(office)
    made = Api(app, office)
    async with office.db.transaction() as session:
        session.add(a_server(office, 900001, managed=True, status=ServerStatus.READY))
        session.add(a_server(office, 900009, managed=False, status=ServerStatus.RESERVED))
        tokens = {
            role.value: (await create_token(session, role.value, role, TESTER, at=office.clock.now()))[1]
            for role in Role
        }
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    for role in ("", *tokens):
        headers = {"Authorization": f"Bearer {tokens[role].get_secret_value()}"} if role else {}
        made.clients[role] = httpx.AsyncClient(transport=transport, base_url="http://lazaret", headers=headers)
    yield made
    for client in made.clients.values():
        await client.aclose()
