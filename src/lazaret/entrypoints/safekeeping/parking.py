"""Why a restored machine touches nothing by itself: the fleet is frozen, and what ran when the backup was made is over.

What the old machine did after the backup is in no table. An operation that went on here could send a second reinstall,
so none does: each is ended, and a person who has looked asks anew. See docs/decisions/0042.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.entrypoints.safekeeping.contents import Table
from lazaret.healing.model import Approval, Decision, RemedyOutcome, RemedyRun
from lazaret.healing.store import decide
from lazaret.kernel import audit
from lazaret.operations.intents import end_cancelled
from lazaret.operations.model import LIVE, Operation
from lazaret.servers.model import Hold
from lazaret.users.store import revoke_token, valid_tokens

STEP = 1_000_000
"""Numbers of new rows begin at the next multiple: the old machine may have given the next ones to other things, and a
button in a chat, or a program that goes on from the last event, must not mean one by the other."""
NOT_KNOWN = "It was under way on another machine when the backup was made; what became of it is not known here."
LOOK_FIRST = "Look at the server (lazaret why HANDLE), then ask for what it needs anew."


@dataclass(frozen=True, slots=True)
class Parked:
    """How the restored machine was put to rest."""

    hold_id: int
    ended: tuple[str, ...]
    """What was under way: `operation 7 (recover of vps-1)`."""
    tokens: tuple[str, ...] = ()
    """Whoever is let in by a token of the backup, also one that the old machine revoked since: `3 (ci, operator)`."""


async def move_numbers_on(connection: psycopg.AsyncConnection[Any], tables: Iterable[Table]) -> None:
    """Every counter goes beyond what the backup, or the old machine after it, has used."""
    for table in tables:
        for column in table.columns:
            query = "select pg_get_serial_sequence(quote_ident(%s), %s)"
            row = await (await connection.execute(query, [table.name, column])).fetchone()
            if row is not None and row[0] is not None:
                next_round = sql.SQL("select setval(%s, (coalesce(max({}), 0) / %s + 1) * %s) from {}").format(
                    sql.Identifier(column), sql.Identifier(table.name)
                )
                await connection.execute(next_round, [row[0], STEP, STEP])


async def park(connection: psycopg.AsyncConnection[Any], actor: audit.Actor, origin: str, *, at: datetime) -> None:
    """Freeze the fleet and stop all operations: in the transaction of the rows, in words that every schema knows."""
    await connection.execute(
        "insert into holds (owner, reason, created_at) values (%s, %s, %s)",
        [str(actor), f"restored from a backup, {origin}: make sure that the old machine is off", at],
    )
    await connection.execute(
        "update operations set status = 'waiting', waiting_for = 'a person', waiting_until = null, lease = null,"
        " lease_until = null where status = any(%s)",
        [[status.value for status in LIVE]],
    )


async def end_what_ran(
    session: AsyncSession, actor: audit.Actor, origin: str, *, at: datetime, revoke_tokens: bool = False
) -> Parked:
    """End every operation and every question that was open; the servers' statuses follow as when a person cancels."""
    live = list(
        await session.scalars(
            select(Operation)
            .where(Operation.status.in_([status.value for status in LIVE]))
            .order_by(Operation.id)
            .with_for_update()
        )
    )
    for operation in live:
        await end_cancelled(session, operation, actor, at=at)
        operation.error, operation.hint = NOT_KNOWN, LOOK_FIRST
    for remedy in await session.scalars(select(RemedyRun).where(RemedyRun.ended_at.is_(None))):
        remedy.outcome, remedy.detail, remedy.ended_at = RemedyOutcome.FAILED.value, NOT_KNOWN, at
    for approval in await session.scalars(select(Approval).where(Approval.decision.is_(None))):
        decide(approval, Decision.EXPIRED, "the restore of a backup", at=at)
    tokens = await valid_tokens(session, at=at)
    if revoke_tokens:
        for token in tokens:
            await revoke_token(session, token.id, actor, at=at)
        tokens = []
    hold_id = await session.scalar(select(Hold.id).order_by(Hold.id.desc()).limit(1))
    assert hold_id is not None
    audit.record(
        session,
        actor,
        "backup.restore",
        "backup",
        at=at,
        origin=origin,
        hold_id=hold_id,
        ended=[operation.id for operation in live],
    )
    return Parked(
        hold_id,
        tuple(f"operation {one.id} ({one.kind} of {one.server_handle})" for one in live),
        tuple(f"{token.id} ({token.name}, {token.role})" for token in tokens),
    )
