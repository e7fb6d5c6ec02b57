"""What is kept for how long. One worker clears the rest away, in small pieces, so that nobody waits for it.

Servers, deployments, incidents with their timelines, operations with their steps, and the audit log are kept for good.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from lazaret.kernel.database import Database
from lazaret.kernel.logging import get_logger
from lazaret.operations.model import LIVE

logger = get_logger(__name__)

AT_ONCE = 5000
"""Rows of one transaction."""
BOOKMARKS_KEPT = timedelta(days=1)
"""Of an operation that has ended, its checkpoints are good only for looking at what went wrong."""
VISITS_KEPT = timedelta(days=15)
"""Longer than any session lasts."""

_ENDED = "status not in ({})".format(", ".join(f"'{status.value}'" for status in sorted(LIVE)))
_ENDED_BEFORE = f"select id::text from operations where {_ENDED} and finished_at < :before"  # noqa: S608 - ours


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows of `table` for which `over` holds go; `key` names a row. `length` is None where the operator decides."""

    table: str
    over: str
    length: timedelta | None = None
    key: str = "id"


KEPT = (
    Kept("checkpoint_writes", f"thread_id in ({_ENDED_BEFORE})", BOOKMARKS_KEPT, key="ctid"),
    Kept("checkpoint_blobs", f"thread_id in ({_ENDED_BEFORE})", BOOKMARKS_KEPT, key="ctid"),
    Kept("checkpoints", f"thread_id in ({_ENDED_BEFORE})", BOOKMARKS_KEPT, key="ctid"),
    Kept("web_sessions", "seen_at < :before", VISITS_KEPT),
    Kept("login_links", "expires_at < :before", VISITS_KEPT),
    Kept("sign_in_tries", "at < :before", VISITS_KEPT),
    Kept("operation_events", f"at < :before and operation_id in (select id from operations where {_ENDED})"),  # noqa: S608 - ours
    Kept("evidence", "incident_id in (select id from incidents where status = 'resolved' and resolved_at < :before)"),
    Kept(
        "deliveries",
        "owed_at < :before and state <> 'owed' and (closed_at is not null or kind <> 'incident')"
        " and not exists (select from deliveries part where part.digest_id = deliveries.id and part.state = 'owed')",
    ),
    Kept(
        "outbox",
        "created_at < :before and sent_at is not null"
        " and not exists (select from deliveries where deliveries.outbox_id = outbox.id)",
    ),
)


async def clear_away(db: Database, *, keep: timedelta, at: datetime) -> dict[str, int]:
    """Delete what is kept no longer; returns the number of rows by table. `keep` is what the operator decided."""
    gone: dict[str, int] = {}
    for kept in KEPT:
        before = at - (keep if kept.length is None else kept.length)
        gone[kept.table] = await _clear(db, kept, before)
    told = {table: count for table, count in gone.items() if count}
    if told:
        logger.info("retention.cleared", **told)
    return gone


async def _clear(db: Database, kept: Kept, before: datetime) -> int:
    some = f"select {kept.key} from {kept.table} where {kept.over} order by {kept.key} limit {AT_ONCE}"  # noqa: S608 - ours
    statement = text(f"delete from {kept.table} where {kept.key} = any(array({some}))")  # noqa: S608 - ours
    count = 0
    while True:
        async with db.transaction() as session:
            rows: int = (await session.execute(statement, {"before": before})).rowcount  # type: ignore[attr-defined]
        count += rows
        if rows < AT_ONCE:
            return count
