"""With LAZARET_TOKEN the command line is that token: what it reads, and for how long what it made holds."""

import json
import re
from datetime import UTC, datetime

import httpx
import pytest

from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.office import Office
from lazaret.kernel.audit import Actor, Channel
from lazaret.operations.model import Operation
from lazaret.users.model import Role
from lazaret.users.store import create_token, revoke_token
from tests.integration.dashboard.conftest import client_of
from tests.integration.product.conftest import Shell
from tests.integration.rows import add_server

TESTER = Actor("tester", Channel.CLI)
LINE = "POST /login password=hunter2"


@pytest.fixture
async def tokens(shell: Shell, office: Office) -> dict[Role, tuple[int, str]]:
    """Number and text of a token for each role; the shell is on the office's database."""
    shell.environment["DATABASE_URL"] = office.conninfo
    async with office.db.transaction() as session:
        made = {role: await create_token(session, role, role, TESTER, at=office.clock.now()) for role in Role}
    return {role: (row.id, text.get_secret_value()) for role, (row, text) in made.items()}


async def test_a_viewer_reads_no_logs_that_others_asked_for(
    shell: Shell, office: Office, tokens: dict[Role, tuple[int, str]]
) -> None:
    now = datetime.now(UTC)
    async with office.db.transaction() as session:
        await add_server(session, "vps-7", at=now)
        session.add(
            Operation(
                server_handle="vps-7", kind="deploy", status="succeeded", requested_by="cli:ann", max_attempts=3,
                result={"deployment_id": 1, "logs": LINE}, due_at=now, created_at=now,
            )
        )  # fmt: skip
    for role in (*Role, None):
        shell.environment["LAZARET_TOKEN"] = tokens[role][1] if role else ""
        for arguments in (["operations"], ["operations", "show", "1"]):
            told = await shell.run(*arguments, "--json")
            assert told.code == 0, told
            expected = {"deployment_id": 1} | ({} if role is Role.VIEWER else {"logs": LINE})
            assert json.loads(told.out)[0]["result"] == expected, (role, arguments)


async def signed_in_by(shell: Shell, http: httpx.AsyncClient) -> str:
    """Follow a fresh link of the shell's; returns as whom."""
    link = (await shell.run("token", "login")).out.strip().rpartition("/sign-in/")[2]
    assert (await http.post(f"/sign-in/{link}")).status_code == 303
    found = re.search(r"Sign out \((\S+), ", (await http.get("/")).text)
    assert found
    return found[1]


async def test_a_session_ends_with_the_token_that_made_its_link(
    shell: Shell, office: Office, tokens: dict[Role, tuple[int, str]]
) -> None:
    number, shell.environment["LAZARET_TOKEN"] = tokens[Role.ADMIN]
    async with client_of(create_app(office)) as http:
        assert await signed_in_by(shell, http) == "admin", "the token, not the user of this machine"
        unused = (await shell.run("token", "login")).out.strip().rpartition("/sign-in/")[2]
        async with office.db.transaction() as session:
            await revoke_token(session, number, TESTER, at=office.clock.now())
        assert (await http.get("/")).status_code == 303
        assert (await http.post(f"/sign-in/{unused}")).status_code == 401


async def test_an_administrator_signs_somebody_out(
    shell: Shell, office: Office, tokens: dict[Role, tuple[int, str]]
) -> None:
    app = create_app(office)
    async with client_of(app) as one, client_of(app) as two, client_of(app) as other:
        shell.environment["LAZARET_TOKEN"] = tokens[Role.ADMIN][1]
        for http in (one, two):
            await signed_in_by(shell, http)
        unused = (await shell.run("token", "login")).out.strip().rpartition("/sign-in/")[2]
        await other.post("/sign-in", data={"token": tokens[Role.VIEWER][1], "to": "/"})
        shell.environment["LAZARET_TOKEN"] = tokens[Role.OPERATOR][1]
        assert (await shell.run("token", "logout", "admin")).code == 1, "it needs an administrator"
        assert (await one.get("/")).status_code == 200
        shell.environment["LAZARET_TOKEN"] = ""
        told = await shell.run("token", "logout", "admin")
        assert (told.code, told.out) == (0, "admin is signed out. Sessions ended: 2; links that are void: 1.\n"), told
        assert [(await http.get("/")).status_code for http in (one, two, other)] == [303, 303, 200]
        assert (await one.post(f"/sign-in/{unused}")).status_code == 401
    again = await shell.run("token", "logout", "admin")
    assert (again.code, again.err.splitlines()) == (
        2,
        ["error: Nobody is signed in as admin.", "hint: Signed in now: viewer."],
    )
    entries = json.loads((await shell.run("audit", "session.end", "--json")).out)
    assert [(one["subject"], one["channel"]) for one in entries] == [("user:admin", "cli")]
    assert (entries[0]["details"]["sessions"], entries[0]["details"]["links"]) == (2, 1)
