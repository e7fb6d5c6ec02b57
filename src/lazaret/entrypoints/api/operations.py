"""Routes of operations: `/api/operations/`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from lazaret.entrypoints.api.security import OfficeDep, Operator, Viewer, actor_of
from lazaret.entrypoints.api.shapes import INT64_MAX, Answer, Digits, Id, Page, SomeText, WindowDep
from lazaret.operations import store
from lazaret.operations.model import OperationKind, OperationStatus
from lazaret.operations.readers import readable_result
from lazaret.users.model import Role

router = APIRouter(prefix="/api/operations", tags=["operations"])


class OperationAnswer(Answer):
    """One piece of work on one server."""

    id: int
    server_handle: str
    kind: OperationKind
    status: OperationStatus
    requested_by: str
    reason: str
    params: dict[str, Any]
    priority: int
    step: str
    attempt: int
    max_attempts: int
    due_at: datetime
    waiting_for: str | None
    waiting_until: datetime | None
    error_code: str | None
    error: str | None
    hint: str | None
    result: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class StepAnswer(Answer):
    """One run of one step."""

    id: int
    name: str
    attempt: int
    status: str
    detail: str
    error_code: str | None
    started_at: datetime
    deadline_at: datetime | None
    finished_at: datetime | None


class OperationWithSteps(OperationAnswer):
    """An operation and the history of its steps."""

    steps: list[StepAnswer] = Field(default_factory=list)


class EventAnswer(Answer):
    """One line of the live log."""

    id: int
    operation_id: int
    server_handle: str
    at: datetime
    kind: str
    step: str
    message: str
    data: dict[str, Any]


class Events(Answer):
    """Events after an id, oldest first; ask again with the last one's id."""

    items: list[EventAnswer]


@router.get("/")
async def list_operations(
    caller: Viewer,
    office: OfficeDep,
    window: WindowDep,
    server_handle: SomeText = "",
    status: Annotated[list[OperationStatus] | None, Query()] = None,
) -> Page[OperationAnswer]:
    """Operations, newest first; `logs` in their results are for operators."""
    return await operation_page(office, window, server_handle, status or [], caller.role)


@router.get("/{operation_id}")
async def get_operation(operation_id: Id, caller: Viewer, office: OfficeDep) -> OperationWithSteps:
    """One operation with its steps; `logs` in its result are for operators."""
    async with office.db.transaction() as session:
        operation = await store.get_operation(session, operation_id)
        steps = await store.steps_of(session, operation_id)
    return OperationWithSteps.model_validate(operation).model_copy(
        update={
            "result": readable_result(operation, caller.role),
            "steps": [StepAnswer.model_validate(step) for step in steps],
        }
    )


@router.get("/{operation_id}/events")
async def list_events(
    operation_id: Id,
    _: Viewer,
    office: OfficeDep,
    after: Annotated[int, Query(ge=0, le=INT64_MAX, description="The last id that you have."), Digits] = 0,
    limit: Annotated[int, Query(ge=1, le=500), Digits] = 500,
) -> Events:
    """The live log of one operation."""
    async with office.db.transaction() as session:
        await store.get_operation(session, operation_id)
        rows = await store.events_after(session, after, operation_id=operation_id, limit=limit)
    return Events(items=[EventAnswer.model_validate(row) for row in rows])


@router.post("/{operation_id}/cancel", status_code=202)
async def cancel_operation(operation_id: Id, caller: Operator, office: OfficeDep) -> OperationAnswer:
    """Stop an operation: at once when no worker has it, else at its next safe point."""
    async with office.db.transaction() as session:
        operation = await office.intents.cancel(session, operation_id, actor_of(caller), at=office.clock.now())
        return OperationAnswer.model_validate(operation)


async def operation_page(
    office: OfficeDep, window: WindowDep, handle: str, statuses: list[OperationStatus], role: Role
) -> Page[OperationAnswer]:
    """One page of operations that match, with what somebody of `role` may read of their results."""
    async with office.db.transaction() as session:
        rows, total = await store.list_operations(
            session, handle=handle, statuses=statuses, limit=window.limit, offset=window.offset
        )
    items = [
        OperationAnswer.model_validate(row).model_copy(update={"result": readable_result(row, role)}) for row in rows
    ]
    return Page(items=items, total=total, limit=window.limit, offset=window.offset)
