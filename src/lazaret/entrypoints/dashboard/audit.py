"""The audit log: who did what, to be read and taken away."""

import csv
import io
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from lazaret.entrypoints.dashboard.web import HEADERS, Seeing, Visit
from lazaret.kernel.audit import AuditEntry, entries

router = APIRouter(include_in_schema=False)
PAGE = 100
BATCH = 1000
COLUMNS = ("id", "at", "actor", "channel", "action", "subject", "operation_id", "provider_task_id", "details")


@router.get("/audit")
async def audit(visit: Seeing, q: str = "", before: int = 0) -> Response:
    """Newest first."""
    search = q.replace("\x00", "")[:100]
    async with visit.office.db.transaction() as session:
        rows = await entries(session, search=search, before=max(0, before), limit=PAGE)
    return visit.page("audit.html", rows=rows, q=search, older=rows[-1].id if len(rows) == PAGE else None)


@router.get("/audit.jsonl")
async def as_lines(visit: Seeing) -> Response:
    """Everything, one JSON object on each line, newest first."""

    async def body() -> AsyncIterator[str]:
        async for row in _all(visit):
            yield json.dumps(_plain(row), ensure_ascii=False) + "\n"

    return StreamingResponse(body(), media_type="application/jsonl", headers=_download("jsonl"))


@router.get("/audit.csv")
async def as_table(visit: Seeing) -> Response:
    """The same for a spreadsheet. A cell that would be read as a formula is quoted."""

    async def body() -> AsyncIterator[str]:
        yield ",".join(COLUMNS) + "\r\n"
        async for row in _all(visit):
            line = io.StringIO()
            csv.writer(line).writerow([_cell(value) for value in _plain(row).values()])
            yield line.getvalue()

    return StreamingResponse(body(), media_type="text/csv", headers=_download("csv"))


async def _all(visit: Visit) -> AsyncIterator[AuditEntry]:
    before = 0
    while True:
        async with visit.office.db.transaction() as session:
            rows = await entries(session, before=before, limit=BATCH)
        for row in rows:
            yield row
        if len(rows) < BATCH:
            return
        before = rows[-1].id


def _plain(row: AuditEntry) -> dict[str, object]:
    return {name: getattr(row, name) for name in COLUMNS} | {"at": row.at.isoformat()}


def _cell(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else "" if value is None else str(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def _download(ending: str) -> dict[str, str]:
    return {**HEADERS, "Content-Disposition": f'attachment; filename="lazaret-audit.{ending}"'}
