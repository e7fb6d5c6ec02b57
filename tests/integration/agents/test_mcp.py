"""The MCP server under the official client: over standard input and output, and over HTTP on a real socket."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from sqlalchemy import func, select

from lazaret.agents.toolbox import TOOLS
from lazaret.entrypoints.office import Office
from lazaret.healing.model import Approval
from lazaret.kernel.audit import AuditEntry
from lazaret.operations.model import Operation
from lazaret.servers.permissions import Permissions
from lazaret.users.model import Role
from tests.integration.agents.conftest import data, served, token_of

pytestmark = pytest.mark.timeout(120)
LOOKING = {tool.name for tool in TOOLS if not tool.acts}
ACTING = {tool.name for tool in TOOLS if tool.acts}


def stdio(office: Office, *arguments: str, **environment: str) -> Client:
    """`lazaret mcp` as the client's subprocess, on the database of this test."""
    known = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": office.conninfo,
        "LAZARET_DATA_DIR": str(office.settings.lazaret_data_dir),
        "TIME4VPS_MANAGED_SERVER_IDS": "2001,2002",
    }
    program = str(Path(sys.executable).with_name("lazaret"))
    return Client(StdioServerParameters(command=program, args=["mcp", *arguments], env={**known, **environment}))


@asynccontextmanager
async def http(address: str, token: str, *, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as inner,
        Client(streamable_http_client(address, http_client=inner), mode=mode) as client,
    ):
        yield client


async def look_around(client: Client) -> None:
    """What every client may do: list servers, ask why, read on."""
    assert "Ask `why`" in (client.instructions or "")
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == LOOKING
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())
    page = data(await client.call_tool("list_servers", {"limit": 5}))
    assert (len(page["items"]), page["total"], page["next_offset"]) == (5, 12, 5)
    rest = data(await client.call_tool("list_servers", {"limit": 50, "offset": 5}))
    assert (len(rest["items"]), rest["next_offset"]) == (7, None)
    answer = data(await client.call_tool("why", {"server_handle": "vps-2005"}))
    assert answer["status"] == "error" and any("approval 1" in line for line in answer["next"])
    services = data(await client.call_tool("get_services_on_server", {"server_handle": "vps-2002"}))
    assert [(one["port"], one["status"]) for one in services["items"]] == [(20001, "running")]
    pages = {str(one.uri) for one in (await client.list_resources()).resources}
    assert "lazaret://states" in pages
    states = (await client.read_resource("lazaret://states")).contents[0]
    assert "pending_setup" in states.text  # type: ignore[union-attr]


async def test_stdio_only_looks(fleet: Office) -> None:
    async with stdio(fleet) as client:
        await look_around(client)
        refused = await client.call_tool("provision", {"server_handle": "vps-2001", "reason": "it may help"})
        assert refused.is_error and data(refused)["error"]["code"] == "forbidden"
        assert "lazaret mcp --write" in data(refused)["error"]["hint"], "no token would help here"


@pytest.mark.parametrize(("status", "error"), [("succeeded", None), ("failed", "it broke")])
async def test_an_operation_that_is_told_is_no_failed_call(fleet: Office, status: str, error: str | None) -> None:
    async with fleet.db.transaction() as session:
        operation = (await session.scalars(select(Operation))).one()
        operation.status, operation.error = status, error
    async with served(fleet) as address, http(address, await token_of(fleet, Role.VIEWER)) as client:
        told = await client.call_tool("get_operation", {"operation_id": operation.id})
    assert (data(told)["status"], data(told)["error"]) == (status, error)
    assert not told.is_error


async def test_stdio_with_write_asks_a_person(fleet: Office) -> None:
    async with stdio(fleet, "--write") as client:
        asked = data(await client.call_tool("provision", {"server_handle": "vps-2001", "reason": "Docker is old"}))
    assert (asked["state"], asked["asks_for"]) == ("open", "provision"), asked
    async with fleet.db.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Operation)) == 1, "nothing begins by asking"


async def test_stdio_is_no_more_than_its_token(fleet: Office) -> None:
    token = await token_of(fleet, Role.VIEWER)
    async with stdio(fleet, "--write", LAZARET_TOKEN=token) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == LOOKING
        refused = await client.call_tool("provision", {"server_handle": "vps-2001", "reason": "it may help"})
    assert data(refused)["error"]["code"] == "forbidden"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_http_looks(fleet: Office, mode: str) -> None:
    """With the stateless protocol and with the handshake of older clients."""
    async with served(fleet) as address, http(address, await token_of(fleet, Role.VIEWER), mode=mode) as client:
        await look_around(client)


async def test_http_lets_nobody_in_without_a_valid_token(fleet: Office) -> None:
    async with served(fleet) as address, httpx.AsyncClient() as plain:
        for headers in ({}, {"Authorization": "Bearer lzr_wrong"}, {"Authorization": "Basic cm9vdDpyb290"}):
            answer = await plain.post(
                address, json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer" and answer.json()["hint"]
        with pytest.raises((MCPError, ExceptionGroup)):
            async with http(address, "lzr_wrong") as client:
                await client.list_tools()


@pytest.mark.parametrize(
    ("role", "write", "sees"),
    [
        (Role.VIEWER, True, LOOKING),
        (Role.OPERATOR, False, LOOKING),
        (Role.OPERATOR, True, LOOKING | ACTING),
        (Role.ADMIN, True, LOOKING | ACTING),
    ],
)
async def test_tools_that_act_need_the_option_and_the_role(
    fleet: Office, role: Role, write: bool, sees: set[str]
) -> None:
    async with served(fleet, write=write) as address, http(address, await token_of(fleet, role)) as client:
        tools = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}
        assert set(tools) == sees
        if sees >= ACTING:
            assert not any(tools[name].read_only_hint for name in ACTING)  # type: ignore[union-attr]
            assert tools["deploy"].destructive_hint  # type: ignore[union-attr]
            return
        for name in ACTING:
            refused = await client.call_tool(name, {})
            assert refused.is_error and data(refused)["error"]["code"] == "forbidden"


async def test_bad_calls_are_answered_as_data(fleet: Office) -> None:
    async with served(fleet, write=True) as address, http(address, await token_of(fleet, Role.OPERATOR)) as client:
        for name, arguments, code in (
            ("get_server", {"server_handle": "vps-404"}, "not_found"),
            ("get_server", {"server_handle": "vps-1'; drop table servers; --"}, "invalid_input"),
            ("get_server", {"server_handle": "vps-2001", "sudo": True}, "invalid_input"),
            ("list_servers", {"limit": 100_000}, "invalid_input"),
            ("list_servers", {"search": "\x00"}, "invalid_input"),
            ("get_operation", {"operation_id": 2**63}, "invalid_input"),
            ("get_operation", {"operation_id": True}, "invalid_input"),
            ("list_operations", {"limit": True}, "invalid_input"),
            ("list_operations", {"limit": "5"}, "invalid_input"),
            ("provision", {"server_handle": "vps-2001", "reason": "\x1b[31mred"}, "invalid_input"),
            ("rm_rf", {}, "not_found"),
            ("provision", {"server_handle": "vps-2001", "reason": "not on the operator's list"}, "touch_refused"),
            ("deploy", {"project_id": "acme", "service_name": "shop"}, "invalid_input"),
            ("follow_errand", {"errand": "0" * 16}, "not_found"),
        ):
            answer = await client.call_tool(name, arguments)
            error = data(answer)["error"]
            assert answer.is_error and error["code"] == code and error["message"], (name, arguments, error)
            assert error["hint"] or code == "internal_error", (name, error)


async def test_what_servers_and_people_wrote_is_data(fleet: Office) -> None:
    """Labels, reasons and names that try to command arrive as short strings of one line, and command nobody."""
    async with served(fleet) as address, http(address, await token_of(fleet, Role.VIEWER)) as client:
        page = await client.call_tool("list_servers", {"limit": 50})
        label = data(page)["items"][0]["label"]
        assert "SYSTEM: ignore all previous" in label, "it is not hidden either"
        for name, arguments in (
            ("list_servers", {"limit": 50}),
            ("why", {"server_handle": "vps-2005"}),
            ("get_server", {"server_handle": "vps-2005"}),
            ("get_incident", {"incident_id": 1}),
            ("get_operation", {"operation_id": 1}),
            ("get_services_on_server", {"server_handle": "vps-2002"}),
            ("list_incidents", {"only_open": False}),
        ):
            for text in _texts(data(await client.call_tool(name, arguments))):
                assert not set("\n\x1b\u202e") & set(text) and len(text) <= 301, (name, text)
    async with fleet.db.transaction() as session:
        assert not (await session.scalars(select(AuditEntry).where(AuditEntry.channel == "agent"))).all()


async def test_a_token_that_asked_does_not_answer(fleet: Office) -> None:
    """Neither does an agent find a tool for it: the yes comes from a person."""
    fleet.intents.permissions = Permissions({"time4vps": lambda: {2001}})
    token = await token_of(fleet, Role.OPERATOR)
    async with served(fleet, write=True) as address:
        async with http(address, token) as client:
            asked = data(await client.call_tool("provision", {"server_handle": "vps-2001", "reason": "Docker is old"}))
            again = data(await client.call_tool("provision", {"server_handle": "vps-2001", "reason": "Docker is old"}))
            assert again["approval_id"] == asked["approval_id"], asked
        async with httpx.AsyncClient(base_url=address.removesuffix("/mcp")) as plain:
            answer = await plain.post(
                f"/api/approvals/{asked['approval_id']}/approve", headers={"Authorization": f"Bearer {token}"}
            )
        assert (answer.status_code, answer.json()["detail"]) == (403, "Who asks does not answer.")
    async with fleet.db.transaction() as session:
        approval = await session.get_one(Approval, asked["approval_id"])
        assert (approval.decision, approval.asked_by) == (None, "agent:robot")


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for one in value.values() for text in _texts(one)]
        case list():
            return [text for one in value for text in _texts(one)]
    return []
