"""The id of a request: the caller's or a new one, in every answer, in the log, and in what the request left behind."""

import logging
import re

import pytest
import structlog
from sqlalchemy import select

from lazaret.kernel.audit import AuditEntry
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.secrets import Redactor
from lazaret.operations.model import Operation
from tests.integration.api.conftest import Api

WELL_FORMED = ["deploy-42.7_a:b", "a" * 64, "12345678"]
NO_IDS = ["", "short", "a" * 65, "with space", "-leading", "line\\nbreak", "<script>alert(1)</script>"]


@pytest.mark.parametrize("given", WELL_FORMED)
async def test_a_well_formed_id_is_kept(api: Api, given: str) -> None:
    for role, path, status in (("viewer", "/api/servers/", 200), ("", "/api/servers/", 401), ("", "/healthz", 200)):
        answer = await api[role].get(path, headers={"X-Request-ID": given})
        assert (answer.status_code, answer.headers.get_list("x-request-id")) == (status, [given])
    refused = await api["viewer"].get("/api/servers/vps-77", headers={"X-Request-ID": given})
    assert (refused.status_code, refused.json()["request_id"]) == (404, given)


@pytest.mark.parametrize("given", NO_IDS)
async def test_anything_else_is_replaced(api: Api, given: str) -> None:
    answers = [await api["viewer"].get("/api/servers/vps-77", headers={"X-Request-ID": given}) for _ in range(2)]
    ids = [answer.json()["request_id"] for answer in answers]
    assert ids == [answer.headers["x-request-id"] for answer in answers]
    assert given not in ids and len(set(ids)) == 2 and all(len(one) == 16 for one in ids)


async def test_a_failure_of_ours_has_it_in_answer_and_log(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    @api.app.get("/api/broken")
    async def broken() -> None:
        raise RuntimeError("nobody foresaw this")

    configure_logging(level="info", log_format="json", redactor=Redactor())
    try:
        answer = await api["viewer"].get("/api/broken", headers={"X-Request-ID": "find-me-again"})
    finally:
        logging.getLogger().handlers[:] = []
        structlog.reset_defaults()
    assert (answer.status_code, answer.headers["x-request-id"]) == (500, "find-me-again")
    assert answer.json()["request_id"] == answer.json()["reference"] == "find-me-again"
    assert "find-me-again" in answer.json()["hint"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "nobody foresaw this" in line]
    assert '"request_id": "find-me-again"' in line


async def test_the_log_has_the_status_as_a_number(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="debug", log_format="console", redactor=Redactor())
    try:
        await api[""].get("/api/servers/")
        await api["viewer"].get("/api/servers/")
    finally:
        logging.getLogger().handlers[:] = []
        structlog.reset_defaults()
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err).splitlines() if "answered" in line]
    assert [re.search(r"status=(\S+)", line)[1] for line in lines] == ["401", "200"], lines  # type: ignore[index]


async def test_what_a_request_asks_for_carries_its_id(api: Api) -> None:
    answer = await api["operator"].post("/api/servers/vps-900001/provision", headers={"X-Request-ID": "ticket-4711"})
    assert answer.status_code == 202, answer.text
    async with api.office.db.transaction() as session:
        operation = await session.get_one(Operation, answer.json()["id"])
        entry = await session.scalar(select(AuditEntry).where(AuditEntry.operation_id == operation.id))
        assert entry is not None
        assert operation.params["request_id"] == entry.details["request_id"] == "ticket-4711"
    events = (await api["viewer"].get(f"/api/operations/{operation.id}/events")).json()
    assert events["items"][0]["data"] == {"request_id": "ticket-4711"}
