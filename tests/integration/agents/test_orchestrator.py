"""The orchestrator over real tables and checkpoints, with the worker's part played by the test."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from lazaret.agents.call import Agency
from lazaret.agents.caller import AgentCaller
from lazaret.agents.toolbox import call_tool
from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import ServiceSpec
from lazaret.entrypoints.agency import open_agency
from lazaret.entrypoints.harbour import harbour_of
from lazaret.entrypoints.office import Office
from lazaret.healing.model import Approval, Decision
from lazaret.healing.requests import Infirmary
from lazaret.operations.model import Operation, OperationStatus
from lazaret.operations.store import finish
from lazaret.servers.status import ServerStatus
from lazaret.servers.store import get_server
from lazaret.users.model import Role
from tests.integration.agents.conftest import TESTER
from tests.integration.rows import add_server, measured

ROBOT = AgentCaller("robot", Role.OPERATOR, may_act=True)
SHOP = {"project_id": "acme", "service_name": "shop", "image": "shop:1", "container_port": 80, "wait_s": 0}


@pytest.fixture
async def agency(office: Office) -> AsyncIterator[Agency]:
    async with open_agency(office) as made:
        yield made


async def add(office: Office, handle: str, status: ServerStatus) -> None:
    async with office.db.transaction() as session:
        server = await add_server(session, handle, at=office.clock.now(), status=status)
        if status is ServerStatus.PENDING_SETUP:
            server.provisioned_at = None
        else:
            session.add(measured(handle, at=office.clock.now()))


async def worked(office: Office, kind: str, end: OperationStatus, **result: Any) -> None:
    """What a worker does to the one live operation."""
    async with office.db.transaction() as session:
        operation = (await session.scalars(select(Operation).where(Operation.status == "queued"))).one()
        assert operation.kind == kind
        finish(operation, end, at=office.clock.now(), error="it broke" if end == "failed" else None)
        operation.result = result


async def follow(agency: Agency, errand: str) -> dict[str, Any]:
    return await call_tool(agency, ROBOT, "follow_errand", {"errand": errand, "wait_s": 0})


async def test_a_server_in_order_gets_the_service_at_once(office: Office, agency: Agency) -> None:
    await add(office, "vps-1", ServerStatus.READY)
    begun = await call_tool(agency, ROBOT, "deploy", SHOP)
    assert (begun["state"], begun["waits_for"], begun["server_handle"]) == ("waiting", "operation", "vps-1"), begun
    assert (await follow(agency, begun["errand"]))["id"] == begun["id"], "the same operation, not a second one"
    await worked(office, "deploy", OperationStatus.SUCCEEDED, deployment_id=1, version=1, port=20000)
    done = await follow(agency, begun["errand"])
    assert (done["state"], done["deployment_result"]["port"]) == ("done", 20000), done
    assert await follow(agency, begun["errand"]) == done, "asked again, it says the same"


async def test_a_server_that_needs_set_up_waits_for_a_person_first(office: Office, agency: Agency) -> None:
    await add(office, "vps-2", ServerStatus.PENDING_SETUP)
    begun = await call_tool(agency, ROBOT, "deploy", SHOP)
    assert (begun["state"], begun["waits_for"], begun["server_to_provision"]) == ("waiting", "approval", "vps-2"), begun
    async with open_agency(office) as restarted:  # another process goes on
        assert (await follow(restarted, begun["errand"]))["id"] == begun["id"]
    async with office.db.transaction() as session:
        await Infirmary(office.intents).decide(session, begun["id"], Decision.APPROVED, TESTER, at=office.clock.now())
    assert (await follow(agency, begun["errand"]))["waits_for"] == "operation"
    await worked(office, "provision", OperationStatus.SUCCEEDED, status="ready")
    async with office.db.transaction() as session:
        server = await get_server(session, "vps-2")
        server.status, server.provisioned_at, server.status_since = "ready", office.clock.now(), office.clock.now()
    unmeasured = await follow(agency, begun["errand"])
    assert (unmeasured["state"], unmeasured["waits_for"]) == ("waiting", "server"), unmeasured
    async with office.db.transaction() as session:
        session.add(measured("vps-2", at=office.clock.now()))
    assert (await follow(agency, begun["errand"]))["waits_for"] == "operation"
    await worked(office, "deploy", OperationStatus.SUCCEEDED, deployment_id=1, version=1, port=20000)
    done = await follow(agency, begun["errand"])
    assert (done["state"], done["provisioning_result"]["status"]) == ("done", "ready"), done


async def test_a_no_ends_it(office: Office, agency: Agency) -> None:
    await add(office, "vps-3", ServerStatus.PENDING_SETUP)
    begun = await call_tool(agency, ROBOT, "deploy", SHOP)
    async with office.db.transaction() as session:
        await Infirmary(office.intents).decide(session, begun["id"], Decision.DENIED, TESTER, at=office.clock.now())
    ended = await follow(agency, begun["errand"])
    assert (ended["state"], ended["error"]["code"]) == ("refused", "not_granted"), ended
    async with office.db.transaction() as session:
        assert (await session.scalars(select(Operation))).all() == []


async def test_a_no_ends_every_errand_that_waited_for_the_same_answer(office: Office, agency: Agency) -> None:
    await add(office, "vps-3", ServerStatus.PENDING_SETUP)
    first = await call_tool(agency, ROBOT, "deploy", SHOP)
    second = await call_tool(agency, ROBOT, "deploy", {**SHOP, "service_name": "blog"})
    assert first["id"] == second["id"], "people are asked once"
    async with office.db.transaction() as session:
        await Infirmary(office.intents).decide(session, first["id"], Decision.DENIED, TESTER, at=office.clock.now())
    for begun in (first, second):
        ended = await follow(agency, begun["errand"])
        assert (ended["state"], ended["error"]["code"]) == ("refused", "not_granted"), ended
    async with office.db.transaction() as session:
        assert len((await session.scalars(select(Approval))).all()) == 1, "and not again"


async def test_secrets_are_not_lost_by_naming_the_server(office: Office, agency: Agency) -> None:
    for handle in ("vps-1", "vps-2"):
        await add(office, handle, ServerStatus.READY)
    for handle, secrets in (("vps-1", {}), ("vps-2", {"PASSWORD": "a secret of the shop"})):
        spec = ServiceSpec.model_validate({**{k: SHOP[k] for k in ("image", "container_port")}, "secrets": secrets})
        async with office.db.transaction() as session:
            order = Order(SHOP["project_id"], SHOP["service_name"], spec, handle)
            await harbour_of(office).deploy(session, order, TESTER, at=office.clock.now())
        await worked(office, "deploy", OperationStatus.SUCCEEDED)
    async with office.db.transaction() as session:
        for deployment in await session.scalars(select(ServiceDeployment)):
            deployment.version, deployment.status = 1, "running"
    for place in ({"server_handle": "vps-2"}, {}):
        refused = await call_tool(agency, ROBOT, "deploy", {**SHOP, **place})
        assert (refused["error"]["code"], "on vps-2" in refused["error"]["message"]) == ("has_secrets", True), refused
    assert (await call_tool(agency, ROBOT, "deploy", {**SHOP, "server_handle": "vps-1"}))["state"] == "waiting"


async def test_what_is_not_admitted_or_fails_is_told_with_its_reason(office: Office, agency: Agency) -> None:
    nothing = await call_tool(agency, ROBOT, "deploy", SHOP)
    assert (nothing["state"], nothing["error"]["code"]) == ("refused", "not_admitted")
    await add(office, "vps-1", ServerStatus.READY)
    large = await call_tool(agency, ROBOT, "deploy", {**SHOP, "memory_mb": 4000})
    assert "2000 MB of memory are free" in large["error"]["message"], large
    begun = await call_tool(agency, ROBOT, "deploy", SHOP)
    await worked(office, "deploy", OperationStatus.FAILED)
    ended = await follow(agency, begun["errand"])
    assert (ended["state"], ended["error"]["code"], ended["error"]["message"]) == (
        "refused", "deployment_failed", "it broke"
    )  # fmt: skip
