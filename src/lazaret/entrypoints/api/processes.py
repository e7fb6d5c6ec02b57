"""Routes of Lazaret's own processes: `/api/processes/`."""

from datetime import datetime

from fastapi import APIRouter

from lazaret.alerting.self_watch import ProcessState, view_of
from lazaret.entrypoints.api.security import OfficeDep, Viewer
from lazaret.entrypoints.api.shapes import Answer
from lazaret.kernel.processes import list_processes

router = APIRouter(prefix="/api/processes", tags=["processes"])


class LoopAnswer(Answer):
    """One loop, as its process last said. It is dead when it was without success for longer than `patience_s`."""

    name: str
    last_success_at: datetime
    silent_s: float
    patience_s: float
    errors: int
    error: str
    is_dead: bool


class ProcessAnswer(Answer):
    """One process of Lazaret."""

    id: str
    kind: str
    parts: list[str]
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    state: ProcessState
    loops: list[LoopAnswer]
    log_level: str | None
    log_level_until: datetime | None


@router.get("/")
async def processes(_: Viewer, office: OfficeDep) -> list[ProcessAnswer]:
    """The processes of Lazaret that are or should be there, each with its loops."""
    async with office.db.transaction() as session:
        rows = await list_processes(session)
    silent_after_s, now = office.settings.lazaret_silent_after, office.clock.now()
    return [ProcessAnswer.model_validate(view_of(row, silent_after_s, now)) for row in rows]
