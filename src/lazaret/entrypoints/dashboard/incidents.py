"""Incidents and approvals: what went wrong, what was done, what a person is asked."""

from fastapi import APIRouter
from starlette.responses import Response

from lazaret.entrypoints.api.shapes import Id
from lazaret.entrypoints.dashboard.web import Acting, Seeing, text_of
from lazaret.healing import store as healing
from lazaret.healing.model import Decision
from lazaret.healing.requests import Infirmary
from lazaret.incidents import store
from lazaret.incidents.model import OPEN, IncidentStatus
from lazaret.operations.model import Operation
from lazaret.users.model import Role

router = APIRouter(include_in_schema=False)
PAGE = 50


@router.get("/incidents")
async def incidents(visit: Seeing, show: str = "open", page: int = 1) -> Response:
    """Open ones, or all."""
    number = max(1, min(page, 100_000))
    statuses = sorted(OPEN) if show != "all" else []
    async with visit.office.db.transaction() as session:
        rows, total = await store.list_incidents(session, statuses=statuses, limit=PAGE, offset=(number - 1) * PAGE)
    return visit.page("incidents.html", rows=rows, page=number, pages=max(1, -(-total // PAGE)), show=show)


@router.get("/incidents/{incident_id}")
async def incident(visit: Seeing, incident_id: Id) -> Response:
    """One incident, from its first sign to its end."""
    async with visit.office.db.transaction() as session:
        found = await store.get_incident(session, incident_id)
        timeline = await store.newest_of(session, incident_id, limit=1000)
        evidence = await healing.evidence_of(session, incident_id) if visit.who.role.includes(Role.OPERATOR) else None
        remedies = await healing.remedies_for(session, incident_id)
        questions = await healing.list_approvals(session, handle=found.server_handle or "", is_open=True)
        operation = await session.get(Operation, max((one.operation_id for one in remedies), default=0))
    return visit.page(
        "incident.html",
        incident=found,
        is_open=found.status != IncidentStatus.RESOLVED,
        timeline=timeline,
        evidence=evidence,
        remedies=remedies,
        questions=[one for one in questions[0] if one.incident_id == incident_id],
        operation=operation,
    )


@router.post("/incidents/{incident_id}/acknowledge")
async def acknowledge(visit: Acting, incident_id: Id) -> Response:
    """Take note."""

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            await store.acknowledge(session, incident_id, visit.actor, at=visit.at)
        return visit.say("Acknowledged.")

    return await visit.act(f"/incidents/{incident_id}", do)


@router.post("/incidents/{incident_id}/recover")
async def recover(visit: Acting, incident_id: Id) -> Response:
    """Try to recover its server (again)."""

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            operation = await Infirmary(visit.office.intents).recover(session, incident_id, visit.actor, at=visit.at)
        return visit.say("Operation {id} is recorded.", id=operation.id)

    return await visit.act(f"/incidents/{incident_id}", do)


@router.get("/approvals")
async def approvals(visit: Seeing, page: int = 1) -> Response:
    """What waits for an answer, and what was answered."""
    number = max(1, min(page, 100_000))
    async with visit.office.db.transaction() as session:
        waiting, _ = await healing.list_approvals(session, is_open=True, limit=100)
        answered, total = await healing.list_approvals(session, is_open=False, limit=PAGE, offset=(number - 1) * PAGE)
    return visit.page(
        "approvals.html", waiting=waiting, answered=answered, page=number, pages=max(1, -(-total // PAGE))
    )


@router.post("/approvals/{approval_id}/{answer}")
async def decide(visit: Acting, approval_id: Id, answer: str) -> Response:
    """Approve or deny; the first answer counts."""
    form = await visit.request.form()
    to = "/approvals"

    async def do() -> str:
        decision = Decision.APPROVED if answer == "approve" else Decision.DENIED
        async with visit.office.db.transaction() as session:
            await Infirmary(visit.office.intents).decide(
                session, approval_id, decision, visit.actor, at=visit.at, note=text_of(form, "note")
            )
        return visit.say("Approved.") if decision is Decision.APPROVED else visit.say("Denied.")

    return await visit.act(to, do)
