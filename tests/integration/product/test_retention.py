"""What is kept and what goes: old details go, what is live, owed or for good stays."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.entrypoints import retention
from lazaret.entrypoints.office import Office
from lazaret.entrypoints.retention import KEPT, clear_away
from lazaret.entrypoints.worker import run_worker
from lazaret.kernel.clock import SystemClock
from lazaret.kernel.database import Database
from lazaret.kernel.loops import end_tasks
from tests.integration.rows import add_server

KEEP = timedelta(days=30)
TABLES = [kept.table for kept in KEPT]


async def add_history(session: AsyncSession, number: int, *, at: datetime, ended: bool) -> None:
    """One server with an operation, an incident and everything that hangs on them, all of that age."""
    handle = f"vps-{number}"
    await add_server(session, handle, at=at)
    values = {
        "id": number,
        "handle": handle,
        "at": at,
        "operation": "succeeded" if ended else "running",
        "incident": "resolved" if ended else "recovering",
        "state": "sent" if ended else "owed",
        "end": at if ended else None,
    }
    for statement in (
        "insert into operations (id, server_handle, kind, status, requested_by, max_attempts, due_at, created_at,"
        " finished_at) values (:id, :handle, 'provision', :operation, 'x', 3, :at, :at, :end)",
        "insert into operation_events (operation_id, server_handle, at, kind, message)"
        " values (:id, :handle, :at, 'note', 'x')",
        "insert into incidents (id, server_handle, incident_type, status, detected_at, began_at, resolved_at,"
        " details, affected_services)"
        " values (:id, :handle, 'server_unreachable', :incident, :at, :at, :end, '{}', '[]')",
        "insert into evidence (incident_id, at, name, content) values (:id, :at, 'journal', 'x')",
        "insert into users (id, telegram_id, is_admin, created_at, last_seen) values (:id, :id, true, :at, :at)",
        "insert into outbox (id, level, text, server_handle, created_at, sent_at)"
        " values (:id, 'info', 'x', :handle, :at, :end)",
        "insert into deliveries (user_id, kind, outbox_id, level, state, owed_at, closed_at)"
        " values (:id, 'note', :id, 'info', :state, :at, :end)",
        "insert into checkpoints (thread_id, checkpoint_id, checkpoint) values (:id :: text, 'x', '{}')",
        "insert into checkpoint_blobs (thread_id, channel, version, type) values (:id :: text, 'x', '1', 'empty')",
        "insert into checkpoint_writes (thread_id, checkpoint_id, task_id, idx, channel, blob)"
        " values (:id :: text, 'x', 'x', 0, 'x', '')",
        "insert into web_sessions (secret_hash, csrf, name, role, created_at, seen_at)"
        " values (:handle, 'x', 'x', 'viewer', :at, :at)",
        "insert into login_links (secret_hash, name, role, created_at, expires_at)"
        " values (:handle, 'x', 'viewer', :at, :at)",
        "insert into sign_in_tries (address, at) values ('x', :at)",
    ):
        await session.execute(text(statement.replace(":id :: text", "cast(cast(:id as bigint) as text)")), values)


async def counts(db: Database, *tables: str) -> dict[str, int]:
    async with db.transaction() as session:
        return {table: (await session.execute(text(f"select count(*) from {table}"))).scalar_one() for table in tables}


async def test_old_details_go_and_the_rest_stays(db: Database, clock: SystemClock) -> None:
    now = clock.now()
    async with db.transaction() as session:
        await add_history(session, 1, at=now - timedelta(days=40), ended=True)
        await add_history(session, 2, at=now - timedelta(hours=1), ended=True)
    gone = await clear_away(db, keep=KEEP, at=now)
    assert gone == dict.fromkeys(TABLES, 1)
    assert await counts(db, *TABLES) == dict.fromkeys(TABLES, 1)
    for_good = ("servers", "operations", "incidents", "users")
    assert await counts(db, *for_good) == dict.fromkeys(for_good, 2)


async def test_what_is_live_or_owed_stays_however_old(db: Database, clock: SystemClock) -> None:
    async with db.transaction() as session:
        await add_history(session, 1, at=clock.now() - timedelta(days=400), ended=False)
    gone = await clear_away(db, keep=KEEP, at=clock.now())
    visits = {"web_sessions", "login_links", "sign_in_tries"}
    assert {table for table, count in gone.items() if count} == visits


@pytest.mark.parametrize("status", ["detected", "recovering", "failed"])
async def test_evidence_of_what_a_person_still_has_stays(db: Database, clock: SystemClock, status: str) -> None:
    async with db.transaction() as session:
        await add_history(session, 1, at=clock.now() - timedelta(days=400), ended=True)
        await session.execute(text("update incidents set status = :status, resolved_at = null"), {"status": status})
    assert (await clear_away(db, keep=KEEP, at=clock.now()))["evidence"] == 0


async def test_evidence_is_kept_so_long_after_the_end_of_its_incident(db: Database, clock: SystemClock) -> None:
    async with db.transaction() as session:
        await add_history(session, 1, at=clock.now() - timedelta(days=400), ended=True)
        await session.execute(text("update incidents set resolved_at = now() - interval '1 day'"))
    assert (await clear_away(db, keep=KEEP, at=clock.now()))["evidence"] == 0
    assert (await clear_away(db, keep=KEEP, at=clock.now() + KEEP))["evidence"] == 1


async def test_a_worker_clears_away_by_itself(office: Office) -> None:
    async with office.db.transaction() as session:
        await session.execute(
            text("insert into sign_in_tries (address, at) values ('x', :at)"),
            {"at": office.clock.now() - timedelta(days=99)},
        )
    working = asyncio.create_task(run_worker(office))
    try:
        async with asyncio.timeout(30):
            while (await counts(office.db, "sign_in_tries"))["sign_in_tries"]:
                await asyncio.sleep(0.1)
    finally:
        await end_tasks(working)


async def test_more_than_fits_into_one_transaction(
    db: Database, clock: SystemClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 10)
    async with db.transaction() as session:
        await session.execute(
            text("insert into sign_in_tries (address, at) select 'x', :at from generate_series(1, 35)"),
            {"at": clock.now() - timedelta(days=99)},
        )
    assert (await clear_away(db, keep=KEEP, at=clock.now()))["sign_in_tries"] == 35
