"""Asking for a recovery: of what was in order, and not of a set-up that failed."""

import pytest
from sqlalchemy import select

from lazaret.incidents.model import IncidentType
from lazaret.incidents.store import open_incident
from lazaret.kernel import audit
from lazaret.operations.model import Operation
from lazaret.servers.model import Server
from tests.integration.api.conftest import Api


@pytest.mark.parametrize(
    ("kind", "status"), [(IncidentType.SERVER_UNREACHABLE, 202), (IncidentType.PROVISIONING_FAILED, 409)]
)
async def test_a_set_up_that_failed_is_no_case_for_a_recovery(api: Api, kind: IncidentType, status: int) -> None:
    now = api.office.clock.now()
    async with api.office.db.transaction() as session:
        server = await session.get_one(Server, "vps-900001")
        server.status = "error"
        incident, _ = await open_incident(session, server.handle, kind, audit.WORKER, at=now, cause="a test")
        number = incident.id
    answer = await api["operator"].post(f"/api/incidents/{number}/recover")
    assert answer.status_code == status, answer.text
    async with api.office.db.transaction() as session:
        operations = list(await session.scalars(select(Operation)))
        assert (await session.get_one(Server, "vps-900001")).status == "error"
    assert len(operations) == (status == 202)
    if status == 409:
        assert "lazaret provision vps-900001" in answer.json()["hint"]
