"""A service whose first deployment was cancelled is not `deploying` for ever."""

from sqlalchemy import select

from lazaret.deployments.abandoned import fail_abandoned
from lazaret.deployments.model import ServiceDeployment
from lazaret.entrypoints.office import Office
from lazaret.kernel import audit
from lazaret.operations.intents import Intent
from lazaret.operations.model import OperationKind
from tests.integration.rows import add_server

PERSON = audit.Actor("tester", audit.Channel.CLI)
IDLE, AT_WORK = "vps-1", "vps-2"


async def test_only_where_nobody_is_at_work(office: Office) -> None:
    now = office.clock.now()
    async with office.db.transaction() as session:
        for number, handle in enumerate((IDLE, AT_WORK)):
            await add_server(session, handle, at=now)
            session.add(
                ServiceDeployment(
                    project_id="shop",
                    service_name="web",
                    server_handle=handle,
                    port=20000 + number,
                    status="deploying",
                    created_by="tester",
                    created_at=now,
                    updated_at=now,
                )
            )
        intent = Intent(OperationKind.DEPLOY, PERSON, "", params={"action": "deploy"})
        operation = await office.intents.deploy(session, AT_WORK, intent, at=now)
    assert await failed_now(office) == {IDLE}
    async with office.db.transaction() as session:
        await office.intents.cancel(session, operation.id, PERSON, at=now)
    assert await failed_now(office) == {IDLE, AT_WORK}


async def failed_now(office: Office) -> set[str]:
    async with office.db.transaction() as session:
        await fail_abandoned(session, at=office.clock.now())
        rows = await session.scalars(select(ServiceDeployment).where(ServiceDeployment.status == "failed"))
        return {row.server_handle for row in rows if row.error.startswith("Its deployment ended")}
