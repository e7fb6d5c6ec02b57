"""Route of the audit log: `/api/audit/`."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from lazaret.entrypoints.api.security import OfficeDep, Viewer
from lazaret.entrypoints.api.shapes import INT64_MAX, Answer, Digits, ShortText
from lazaret.kernel import audit

router = APIRouter(prefix="/api/audit", tags=["audit"])


class AuditAnswer(Answer):
    """One thing that was done."""

    id: int
    at: datetime
    actor: str
    channel: audit.Channel
    action: str
    subject: str
    operation_id: int | None
    provider_task_id: int | None
    details: dict[str, Any]


@router.get("/")
async def list_entries(
    _: Viewer,
    office: OfficeDep,
    search: ShortText = "",
    before: Annotated[
        int, Query(ge=0, le=INT64_MAX, description="Go on before this id; 0: from the newest."), Digits
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=1000), Digits] = 100,
) -> list[AuditAnswer]:
    """Who did what, newest first; ask again with the last one's id."""
    async with office.db.transaction() as session:
        rows = await audit.entries(session, search=search, before=before, limit=limit)
        return [AuditAnswer.model_validate(row) for row in rows]
