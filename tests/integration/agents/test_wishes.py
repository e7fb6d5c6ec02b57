"""What an agent wishes for, a person grants or does not: by command, on the dashboard, in Telegram, or by silence."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from lazaret.agents.call import Agency
from lazaret.agents.caller import AgentCaller
from lazaret.agents.toolbox import call_tool
from lazaret.entrypoints.agency import open_agency
from lazaret.entrypoints.api.app import create_app
from lazaret.entrypoints.office import Office
from lazaret.healing.model import Decision
from lazaret.healing.requests import Infirmary
from lazaret.healing.wishes import expire_wishes
from lazaret.kernel.errors import Conflict, LazaretError
from lazaret.operations.model import Operation
from lazaret.users.model import Role
from tests.integration.agents.conftest import TESTER
from tests.integration.dashboard.conftest import sign_in
from tests.integration.rows import add_server

ROBOT = AgentCaller("robot", Role.OPERATOR, may_act=True)


@pytest.fixture
async def asked(office: Office) -> Any:
    """`vps-1` is ready, and a robot asks to set it up again."""
    async with office.db.transaction() as session:
        await add_server(session, "vps-1", at=office.clock.now())
    async with open_agency(office) as agency:
        answer = await call_tool(agency, ROBOT, "provision", {"server_handle": "vps-1", "reason": "Docker is old"})
        assert answer["state"] == "open" and "robot asks to set up vps-1" in answer["question"], answer
        yield agency, answer["approval_id"]


async def operations(office: Office) -> list[Operation]:
    async with office.db.transaction() as session:
        return list(await session.scalars(select(Operation)))


async def decide(office: Office, approval_id: int, decision: Decision) -> None:
    async with office.db.transaction() as session:
        await Infirmary(office.intents).decide(session, approval_id, decision, TESTER, at=office.clock.now(), note="ok")


async def state_of(agency: Agency, approval_id: int) -> dict[str, Any]:
    return await call_tool(agency, ROBOT, "get_approval", {"approval_id": approval_id})


async def test_a_yes_becomes_one_operation(office: Office, asked: tuple[Agency, int]) -> None:
    agency, approval_id = asked
    assert await operations(office) == [], "asking does nothing"
    await decide(office, approval_id, Decision.APPROVED)
    await decide(office, approval_id, Decision.APPROVED)
    (operation,) = await operations(office)
    assert (operation.kind, operation.requested_by) == ("provision", "cli:tester")
    assert operation.reason == "agent:robot asked: Docker is old"
    answer = await state_of(agency, approval_id)
    assert (answer["state"], answer["decided_by"], answer["operation_id"]) == ("approved", "cli:tester", operation.id)
    with pytest.raises(Conflict, match="approved already"):
        await decide(office, approval_id, Decision.DENIED)


async def test_a_no_is_a_clear_answer(office: Office, asked: tuple[Agency, int]) -> None:
    agency, approval_id = asked
    await decide(office, approval_id, Decision.DENIED)
    answer = await state_of(agency, approval_id)
    assert (answer["state"], answer["note"], answer["operation_id"]) == ("denied", "ok", None)
    assert await operations(office) == []


async def test_silence_is_a_no(office: Office, asked: tuple[Agency, int]) -> None:
    agency, approval_id = asked
    late = office.clock.now() + timedelta(hours=13)
    with pytest.raises(Conflict, match="has expired"):
        async with office.db.transaction() as session:
            await Infirmary(office.intents).decide(session, approval_id, Decision.APPROVED, TESTER, at=late)
    async with office.db.transaction() as session:
        await expire_wishes(session, at=late)
    assert (await state_of(agency, approval_id))["state"] == "expired"
    again = await call_tool(agency, ROBOT, "provision", {"server_handle": "vps-1", "reason": "Docker is still old"})
    assert again["approval_id"] != approval_id and again["state"] == "open"


async def test_a_yes_that_cannot_be_followed_is_refused_and_stays_open(
    office: Office, asked: tuple[Agency, int]
) -> None:
    agency, approval_id = asked
    async with office.db.transaction() as session:
        await office.desk.provision(session, "vps-1", TESTER, at=office.clock.now())
    with pytest.raises(LazaretError, match="has operation 1"):
        await decide(office, approval_id, Decision.APPROVED)
    assert (await state_of(agency, approval_id))["state"] == "open"


async def test_two_who_wish_do_not_get_two_questions(office: Office, asked: tuple[Agency, int]) -> None:
    agency, approval_id = asked
    other = AgentCaller("other", Role.OPERATOR, may_act=True)
    answer = await call_tool(agency, other, "provision", {"server_handle": "vps-1", "reason": "me too"})
    assert answer["error"]["code"] == "conflict" and f"question {approval_id}" in answer["error"]["message"]
    answer = await call_tool(
        agency, ROBOT, "provision", {"server_handle": "vps-1", "reason": "it is lost", "is_incident_recovery": True}
    )
    assert answer["error"]["code"] == "conflict"


async def test_the_question_is_answered_on_the_dashboard(office: Office, asked: tuple[Agency, int]) -> None:
    agency, approval_id = asked
    browser = await sign_in(create_app(office), office, Role.OPERATOR)
    page = (await browser.get("/approvals")).text
    assert "agent:robot asks to set up vps-1" in page and "/incidents/None" not in page
    assert (await browser.post(f"/approvals/{approval_id}/approve", on="/approvals")).status_code == 303
    assert (await state_of(agency, approval_id))["decided_by"] == "dashboard:operator"
    assert len(await operations(office)) == 1
    await browser.http.aclose()
