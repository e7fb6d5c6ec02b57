"""What a server is that is given back from maintenance follows from what is true of it."""

import pytest

from lazaret.deployments.model import DeploymentStatus, ServiceDeployment
from lazaret.entrypoints.office import Office
from lazaret.incidents.model import IncidentStatus, IncidentType
from lazaret.incidents.store import change_incident, open_incident
from lazaret.kernel import audit
from lazaret.provisioning.requests import SetByHand, set_status
from lazaret.servers.status import ServerStatus
from tests.integration.rows import add_server

ONE = "vps-1"
TESTER = audit.Actor("tester", audit.Channel.CLI)


async def parked(office: Office, *, serves: bool = False) -> None:
    now = office.clock.now()
    async with office.db.transaction() as session:
        await add_server(session, ONE, at=now, status=ServerStatus.MAINTENANCE)
        if serves:
            session.add(
                ServiceDeployment(
                    project_id="shop", service_name="web", server_handle=ONE, port=8080, created_by="t",
                    status=DeploymentStatus.RUNNING.value, created_at=now, updated_at=now,
                )
            )  # fmt: skip


async def given_back(office: Office) -> str:
    async with office.db.transaction() as session:
        return (await set_status(session, ONE, SetByHand.READY, TESTER, at=office.clock.now())).status


@pytest.mark.parametrize(("serves", "is_then"), [(False, "ready"), (True, "in_use")])
async def test_who_is_given_back_is_in_use_where_services_run(office: Office, serves: bool, is_then: str) -> None:
    await parked(office, serves=serves)
    assert await given_back(office) == is_then


@pytest.mark.parametrize(
    ("kind", "cause", "is_then"),
    [
        (IncidentType.SERVER_UNREACHABLE, "silent", "error"),
        (IncidentType.PROVISIONING_FAILED, "", "error"),
        (IncidentType.SERVICE_DOWN, "docker_down", "error"),
        (IncidentType.SERVICE_DOWN, "service_down", "in_use"),
        (IncidentType.RESOURCE_EXHAUSTED, "disk_full", "in_use"),
    ],
)
async def test_who_is_given_back_while_something_keeps_it_out_stays_out(
    office: Office, kind: IncidentType, cause: str, is_then: str
) -> None:
    await parked(office, serves=True)
    async with office.db.transaction() as session:
        await open_incident(
            session, ONE, kind, audit.MONITOR, at=office.clock.now(), cause=cause, status=IncidentStatus.FAILED
        )
    assert await given_back(office) == is_then


async def test_what_is_over_keeps_nobody_out(office: Office) -> None:
    await parked(office)
    now = office.clock.now()
    async with office.db.transaction() as session:
        incident, _ = await open_incident(
            session, ONE, IncidentType.SERVER_UNREACHABLE, audit.MONITOR, at=now, cause="silent"
        )
        await change_incident(session, incident.id, IncidentStatus.RESOLVED, audit.MONITOR, at=now)
    assert await given_back(office) == "ready"
