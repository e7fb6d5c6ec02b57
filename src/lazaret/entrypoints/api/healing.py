"""Routes of healing: `/api/approvals/`, `/api/holds/`, `/api/maintenance-windows/`, and what is known of a server."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, status
from pydantic import AwareDatetime

from lazaret.entrypoints.api.operations import OperationAnswer
from lazaret.entrypoints.api.security import OfficeDep, Operator, Viewer, actor_of
from lazaret.entrypoints.api.shapes import Answer, Handle, Id, Page, Request, ShortText, SomeText, WindowDep
from lazaret.healing import requests, store
from lazaret.healing.model import Decision
from lazaret.healing.requests import Infirmary
from lazaret.healing.why import why
from lazaret.incidents import store as incidents
from lazaret.probing.store import health_of, samples_of
from lazaret.servers.store import get_server

router = APIRouter(prefix="/api", tags=["healing"])


class ApprovalAnswer(Answer):
    """One question to the operators."""

    id: int
    operation_id: int | None
    incident_id: int | None
    server_handle: str
    remedy: str
    asked_by: str
    """Who wishes it; empty: a recovery."""
    why: str
    asked_at: datetime
    expires_at: datetime
    decision: Decision | None
    decided_at: datetime | None
    decided_by: str | None
    note: str


class Answering(Request):
    """A note that goes with an answer."""

    note: ShortText = ""


class HoldAnswer(Answer):
    """Somebody stops action on a server, or (without a handle) on the fleet."""

    id: int
    server_handle: str | None
    owner: str
    reason: str
    created_at: datetime
    expires_at: datetime | None
    lifted_at: datetime | None


class HoldRequest(Request):
    """Stop action. Without a handle: freeze the whole fleet."""

    server_handle: ShortText | None = None
    reason: SomeText
    expires_at: AwareDatetime | None = None


class MaintenanceWindowAnswer(Answer):
    """A planned time without judgement and action."""

    id: int
    server_handle: str | None
    owner: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    cancelled_at: datetime | None


class MaintenanceWindowRequest(Request):
    """Plan one. Without a handle: for the whole fleet."""

    server_handle: ShortText | None = None
    reason: SomeText
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class TimelineAnswer(Answer):
    """One line of an incident's story."""

    id: int
    at: datetime
    kind: str
    message: str
    data: dict[str, Any]


class EvidenceAnswer(Answer):
    """One piece of what a server showed before a remedy could destroy it."""

    id: int
    at: datetime
    name: str
    content: str


class HealthAnswer(Answer):
    """The verdict on a server from one vantage."""

    vantage: str
    monitor: str
    phase: str
    condition: str | None
    symptoms: list[Any]
    because: str
    is_flapping: bool
    since: datetime
    read_at: datetime | None
    reading: dict[str, Any]
    updated_at: datetime


class SampleAnswer(Answer):
    """One sample of a server's recent series."""

    at: datetime
    load_1m: float
    memory_available_mb: int
    disk_used_percent: float | None
    uptime_s: float


class ServerHealthAnswer(Answer):
    """What is known of a server's health."""

    verdicts: list[HealthAnswer]
    samples: list[SampleAnswer]


class WhyAnswer(Answer):
    """What is, which rule decided, what comes next, and what holds it back."""

    handle: str
    status: str
    known: list[str]
    decided: list[str]
    next: list[str]
    held_back: list[str]


@router.get("/approvals/")
async def list_approvals(
    _: Viewer,
    office: OfficeDep,
    window: WindowDep,
    server_handle: SomeText = "",
    is_open: Annotated[bool | None, Query(description="Only unanswered, or only answered ones.")] = None,
) -> Page[ApprovalAnswer]:
    """Questions to the operators, newest first."""
    async with office.db.transaction() as session:
        rows, total = await store.list_approvals(
            session, handle=server_handle, is_open=is_open, limit=window.limit, offset=window.offset
        )
    items = [ApprovalAnswer.model_validate(row) for row in rows]
    return Page(items=items, total=total, limit=window.limit, offset=window.offset)


@router.post("/approvals/{approval_id}/approve")
async def approve(
    approval_id: Id, caller: Operator, office: OfficeDep, body: Answering | None = None
) -> ApprovalAnswer:
    """Yes: the remedy may be used."""
    return await _decide(approval_id, Decision.APPROVED, caller, office, body)


@router.post("/approvals/{approval_id}/deny")
async def deny(approval_id: Id, caller: Operator, office: OfficeDep, body: Answering | None = None) -> ApprovalAnswer:
    """No: the recovery is handed over to a person."""
    return await _decide(approval_id, Decision.DENIED, caller, office, body)


async def _decide(
    approval_id: int, decision: Decision, caller: Operator, office: OfficeDep, body: Answering | None
) -> ApprovalAnswer:
    async with office.db.transaction() as session:
        approval = await Infirmary(office.intents).decide(
            session,
            approval_id,
            decision,
            actor_of(caller),
            at=office.clock.now(),
            note=body.note if body else "",
        )
        return ApprovalAnswer.model_validate(approval)


@router.get("/holds/")
async def list_holds(_: Viewer, office: OfficeDep, server_handle: SomeText = "") -> list[HoldAnswer]:
    """The holds in force; with a handle those that concern it."""
    async with office.db.transaction() as session:
        if server_handle:
            await get_server(session, server_handle)
        rows = await requests.list_holds(session, at=office.clock.now(), handle=server_handle)
        return [HoldAnswer.model_validate(row) for row in rows]


@router.post("/holds/", status_code=status.HTTP_201_CREATED)
async def set_hold(body: HoldRequest, caller: Operator, office: OfficeDep) -> HoldAnswer:
    """Stop automatic and requested action on one server, or freeze the fleet."""
    async with office.db.transaction() as session:
        made = await requests.hold(
            session,
            body.server_handle,
            actor_of(caller),
            at=office.clock.now(),
            reason=body.reason,
            until=body.expires_at,
        )
        return HoldAnswer.model_validate(made)


@router.delete("/holds/{hold_id}")
async def lift_hold(hold_id: Id, caller: Operator, office: OfficeDep) -> HoldAnswer:
    """End a hold."""
    async with office.db.transaction() as session:
        return HoldAnswer.model_validate(await requests.lift(session, hold_id, actor_of(caller), at=office.clock.now()))


@router.get("/maintenance-windows/")
async def list_windows(_: Viewer, office: OfficeDep) -> list[MaintenanceWindowAnswer]:
    """The windows in force or to come."""
    async with office.db.transaction() as session:
        rows = await requests.list_windows(session, at=office.clock.now())
        return [MaintenanceWindowAnswer.model_validate(row) for row in rows]


@router.post("/maintenance-windows/", status_code=status.HTTP_201_CREATED)
async def plan_window(body: MaintenanceWindowRequest, caller: Operator, office: OfficeDep) -> MaintenanceWindowAnswer:
    """Plan a time in which nothing is judged or done by itself."""
    async with office.db.transaction() as session:
        made = await requests.plan_window(
            session,
            body.server_handle,
            actor_of(caller),
            at=office.clock.now(),
            starts_at=body.starts_at,
            ends_at=body.ends_at,
            reason=body.reason,
        )
        return MaintenanceWindowAnswer.model_validate(made)


@router.delete("/maintenance-windows/{window_id}")
async def cancel_window(window_id: Id, caller: Operator, office: OfficeDep) -> MaintenanceWindowAnswer:
    """Call a window off, or end it early."""
    async with office.db.transaction() as session:
        return MaintenanceWindowAnswer.model_validate(
            await requests.cancel_window(session, window_id, actor_of(caller), at=office.clock.now())
        )


@router.get("/incidents/{incident_id}/timeline")
async def incident_timeline(incident_id: Id, _: Viewer, office: OfficeDep, window: WindowDep) -> list[TimelineAnswer]:
    """The story of an incident, oldest first."""
    async with office.db.transaction() as session:
        await incidents.get_incident(session, incident_id)
        rows = await incidents.timeline_of(session, incident_id, limit=window.limit, offset=window.offset)
        return [TimelineAnswer.model_validate(row) for row in rows]


@router.get("/incidents/{incident_id}/evidence")
async def incident_evidence(incident_id: Id, _: Operator, office: OfficeDep) -> list[EvidenceAnswer]:
    """What the server showed before a remedy could destroy it. Logs may tell much, so viewers do not see them."""
    async with office.db.transaction() as session:
        await incidents.get_incident(session, incident_id)
        return [EvidenceAnswer.model_validate(row) for row in await store.evidence_of(session, incident_id)]


@router.post("/incidents/{incident_id}/recover", status_code=status.HTTP_202_ACCEPTED)
async def recover(incident_id: Id, caller: Operator, office: OfficeDep) -> OperationAnswer:
    """Try (again) to recover the server of an open incident."""
    async with office.db.transaction() as session:
        operation = await Infirmary(office.intents).recover(
            session, incident_id, actor_of(caller), at=office.clock.now()
        )
        return OperationAnswer.model_validate(operation)


@router.get("/servers/{handle}/health")
async def server_health(
    handle: Handle,
    _: Viewer,
    office: OfficeDep,
    hours: Annotated[float, Query(gt=0, le=24, description="How far back the samples go.")] = 1,
) -> ServerHealthAnswer:
    """Verdicts, the newest reading, and the recent series."""
    since = office.clock.now() - timedelta(hours=hours)
    async with office.db.transaction() as session:
        await get_server(session, handle)
        verdicts = [HealthAnswer.model_validate(row) for row in await health_of(session, handle)]
        samples = [SampleAnswer.model_validate(row) for row in await samples_of(session, handle, since=since)]
    return ServerHealthAnswer(verdicts=verdicts, samples=samples)


@router.get("/servers/{handle}/why")
async def server_why(handle: Handle, _: Viewer, office: OfficeDep) -> WhyAnswer:
    """Why Lazaret does, or does not do, something about a server."""
    async with office.db.transaction() as session:
        return WhyAnswer.model_validate(await why(session, handle, at=office.clock.now()))
