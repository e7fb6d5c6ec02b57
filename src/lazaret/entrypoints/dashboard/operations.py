"""Operations: the list, and one run in detail with its live log."""

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

from lazaret.entrypoints.api.shapes import Id
from lazaret.entrypoints.dashboard.web import Acting, Seeing
from lazaret.operations.model import LIVE, Operation, OperationKind, OperationStatus
from lazaret.operations.store import get_operation, list_operations, newest_events, steps_of

router = APIRouter(include_in_schema=False)
PAGE = 50
LOG_LINES = 400


@router.get("/operations")
async def operations(visit: Seeing, status: str = "", page: int = 1) -> Response:
    """What is at work, and what ended."""
    wanted = [OperationStatus(status)] if status in list(OperationStatus) else []
    number = max(1, min(page, 100_000))
    async with visit.office.db.transaction() as session:
        rows, total = await list_operations(session, statuses=wanted, limit=PAGE, offset=(number - 1) * PAGE)
    return visit.page(
        "operations.html",
        rows=rows,
        page=number,
        pages=max(1, -(-total // PAGE)),
        status=status if wanted else "",
        statuses=list(OperationStatus),
    )


@router.get("/operations/{operation_id}")
async def operation(visit: Seeing, operation_id: Id) -> Response:
    """One operation: its steps, its log, its error."""
    async with visit.office.db.transaction() as session:
        found = await get_operation(session, operation_id)
        steps = await steps_of(session, operation_id)
        events, total = await newest_events(session, operation_id, limit=LOG_LINES)
    ran = {step.name: step.status for step in steps}
    tasks = [event.data for event in events if event.kind == "task"]
    names = await asyncio.to_thread(nodes_of, found)
    counts = [(one.get("position"), one.get("total")) for one in tasks if one.get("total")]
    return visit.page(
        "operation.html",
        operation=found,
        steps=steps,
        ahead=[name for name in names if name not in ran],
        events=events,
        cut=total - len(events),
        progress=counts[-1] if counts else None,
        is_live=found.status in LIVE,
    )


def nodes_of(operation: Operation) -> list[str]:
    """The steps that the graph of such an operation has, in their order. The first call imports the graphs."""
    from lazaret.healing.graph import NODES  # noqa: PLC0415 - LangGraph takes longer to import than the API to start
    from lazaret.provisioning.graph import STEPS  # noqa: PLC0415

    if operation.kind == OperationKind.RECOVER:
        return [node.name for node in NODES]
    return [step.name for step in STEPS] if operation.kind != OperationKind.DEPLOY else []


@router.post("/operations/{operation_id}/cancel")
async def cancel(visit: Acting, operation_id: Id) -> Response:
    """Stop it: at once when no worker has it, else at its next safe point."""

    async def do() -> str:
        async with visit.office.db.transaction() as session:
            await visit.office.intents.cancel(session, operation_id, visit.actor, at=visit.at)
        return visit.say("Operation {id} is being cancelled.", id=operation_id)

    return await visit.act(f"/operations/{operation_id}", do)
