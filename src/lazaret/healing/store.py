"""Reads and writes of the tables of healing: the spent budget, approvals, evidence."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing.model import Approval, Decision, Evidence, RemedyOutcome, RemedyRun
from lazaret.kernel.errors import NotFound
from lazaret.kernel.metrics import REMEDIES
from lazaret.operations.model import LIVE, Operation, OperationKind, OperationStatus
from lazaret.probing.model import ServerHealth
from lazaret.probing.verdict import Phase

BUDGET_DAY = timedelta(hours=24)


async def remedy_of(session: AsyncSession, operation_id: int, rung: int) -> RemedyRun | None:
    """What was begun for this rung, if anything."""
    found: RemedyRun | None = await session.scalar(
        select(RemedyRun).where(RemedyRun.operation_id == operation_id, RemedyRun.rung == rung)
    )
    return found


async def remedies_on(session: AsyncSession, handle: str, *, since: datetime) -> list[RemedyRun]:
    """What was begun on a server since then, oldest first."""
    rows = await session.scalars(
        select(RemedyRun).where(RemedyRun.server_handle == handle, RemedyRun.begun_at >= since).order_by(RemedyRun.id)
    )
    return list(rows)


async def remedies_for(session: AsyncSession, incident_id: int) -> list[RemedyRun]:
    """What was begun for an incident, oldest first."""
    rows = await session.scalars(select(RemedyRun).where(RemedyRun.incident_id == incident_id).order_by(RemedyRun.id))
    return list(rows)


async def recoveries_in_flight(session: AsyncSession, *, except_operation: int) -> int:
    """Recoveries of other servers with a remedy that was begun and has not ended.

    One that waits for room or for a person does not count, be it between two rungs or within one, as for a password:
    were it to, four of them could hold each other back for ever, or the whole fleet for a day.
    """
    count = await session.scalar(
        select(func.count(func.distinct(RemedyRun.operation_id)))
        .join(Operation, Operation.id == RemedyRun.operation_id)
        .where(
            Operation.kind == OperationKind.RECOVER.value,
            Operation.status.in_([status.value for status in LIVE - {OperationStatus.WAITING}]),
            Operation.id != except_operation,
            RemedyRun.ended_at.is_(None),
        )
    )
    return count or 0


async def end_remedy(
    session: AsyncSession, operation_id: int, rung: int, outcome: RemedyOutcome, detail: str, *, at: datetime
) -> None:
    """Write down what became of a rung. What has ended stays as it is."""
    remedy = await remedy_of(session, operation_id, rung)
    if remedy is not None and remedy.ended_at is None:
        remedy.outcome, remedy.detail, remedy.ended_at = outcome.value, detail[:1000], at
        REMEDIES.labels(remedy=remedy.remedy, outcome=outcome.value).inc()


async def approval_of(session: AsyncSession, operation_id: int, rung: int) -> Approval | None:
    """The question that was asked for this rung, if one was; the wish that a recovery came from is none."""
    found: Approval | None = await session.scalar(
        select(Approval).where(Approval.operation_id == operation_id, Approval.rung == rung, Approval.wish.is_(None))
    )
    return found


def senses_that_agree(health: Sequence[ServerHealth]) -> int:
    """How many see the server lost: the living monitors whose rows these are, and the worker who asks."""
    return 1 + sum(row.phase == Phase.LOST for row in health)


async def approvals_by_id(session: AsyncSession, ids: Collection[int]) -> list[Approval]:
    """These questions; what is not there is left out."""
    return list(await session.scalars(select(Approval).where(Approval.id.in_(ids))))


async def get_approval(session: AsyncSession, approval_id: int, *, for_update: bool = False) -> Approval:
    """The question, or `NotFound`."""
    statement = select(Approval).where(Approval.id == approval_id)
    if for_update:  # what the session knows of it may be older than the lock
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = await session.scalar(statement)
    if found is None:
        raise NotFound(f"There is no approval {approval_id}.", hint="`lazaret approvals` lists them.")
    return found


async def list_approvals(
    session: AsyncSession, *, handle: str = "", is_open: bool | None = None, limit: int = 100, offset: int = 0
) -> tuple[list[Approval], int]:
    """One page, newest first, and the number of all that match."""
    conditions: list[ColumnElement[bool]] = []
    if handle:
        conditions.append(Approval.server_handle == handle)
    if is_open is not None:
        conditions.append(Approval.decision.is_(None) if is_open else Approval.decision.is_not(None))
    total = await session.scalar(select(func.count()).select_from(Approval).where(*conditions))
    rows = await session.scalars(
        select(Approval).where(*conditions).order_by(Approval.id.desc()).limit(limit).offset(offset)
    )
    return list(rows), total or 0


def decide(approval: Approval, decision: Decision, by: str, *, at: datetime, note: str = "") -> None:
    """Answer a locked, open question."""
    approval.decision, approval.decided_by, approval.decided_at, approval.note = decision.value, by, at, note


async def add_evidence(
    session: AsyncSession,
    incident_id: int,
    pieces: Sequence[tuple[str, str]],
    *,
    at: datetime,
    operation_id: int,
) -> None:
    """Keep what a server showed, as name and text."""
    details = {"operation_id": operation_id}
    session.add_all(
        Evidence(incident_id=incident_id, at=at, name=name, content=text, details=details) for name, text in pieces
    )


async def evidence_of(session: AsyncSession, incident_id: int) -> list[Evidence]:
    """The bundle of an incident, in the order in which it was taken."""
    rows = await session.scalars(select(Evidence).where(Evidence.incident_id == incident_id).order_by(Evidence.id))
    return list(rows)
