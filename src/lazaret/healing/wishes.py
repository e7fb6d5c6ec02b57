"""What a program or an agent wishes for a server and only a person grants: set it up, or bring it back.

A wish is a question like those of a recovery, shown and answered in the same places. Nothing is done before the yes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.alerting.model import Level
from lazaret.alerting.outbox import notify_admins
from lazaret.healing.model import Approval, Decision
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, InvalidInput
from lazaret.kernel.i18n import mark
from lazaret.operations.intents import Intents

LONGEST_REASON = 200
REFERENCE = "reference"
"""The parameter of an operation that holds the asker's own mark."""
NO_RUNG = -1
"""A wish stands on no rung: the recovery that it becomes asks its own questions."""
SHARED_BY = "shared_by"
"""The marks of those who wished for the same while the question was open: its answer is theirs as well."""


class WishKind(StrEnum):
    """What may be wished for."""

    PROVISION = "provision"
    """Set the server up, or again; data stay."""
    RECOVER = "recover"
    """Bring a lost server back with its services; what could destroy data is asked for again."""


QUESTIONS = {
    WishKind.PROVISION: mark("{actor} asks to set up {handle}, which is {status}. Data stay. Reason given: {reason}"),
    WishKind.RECOVER: mark(
        "{actor} asks to recover {handle}, which is {status}. What could destroy data is asked for again. "
        "Reason given: {reason}"
    ),
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """Where wishes are taken. `ttl` is how long a person has to answer."""

    intents: Intents
    ttl: timedelta

    async def ask(
        self,
        session: AsyncSession,
        handle: str,
        kind: WishKind,
        actor: audit.Actor,
        *,
        at: datetime,
        reason: str,
        reference: str = "",
    ) -> Approval:
        """Put the question to people. Asked again while it is open, it is the same question.

        Refused at once where a yes could not be followed: raises as `Intents.provision` and `recover` do, and
        `Conflict` when another wish for this server waits for its answer.
        """
        reason = " ".join(reason.split())
        if not reason or len(reason) > LONGEST_REASON:
            raise InvalidInput(
                f"A reason of 1 to {LONGEST_REASON} characters is needed.", hint="A person reads it and decides."
            )
        check = self.intents.check_provision if kind is WishKind.PROVISION else self.intents.check_recover
        server = await check(session, handle, at=at)
        waiting = await self._open_on(session, handle, at=at)
        if waiting is not None:
            if (waiting.remedy, waiting.asked_by) == (kind, str(actor)):
                return _shared(waiting, reference)
            raise Conflict(
                f"{handle} has the open question {waiting.id} ({waiting.remedy}, by {waiting.asked_by}).",
                hint="Wait for its answer.",
                approval_id=waiting.id,
            )
        values: dict[str, Any] = {"actor": str(actor), "handle": handle, "status": server.status, "reason": reason}
        approval = Approval(
            server_handle=handle,
            rung=NO_RUNG,
            remedy=kind.value,
            wish={"reason": reason, REFERENCE: reference},
            asked_by=str(actor),
            why=QUESTIONS[kind].format(**values),
            asked_at=at,
            expires_at=at + self.ttl,
        )
        session.add(approval)
        await session.flush()
        audit.record(
            session, actor, "approval.ask", f"server:{handle}", at=at, approval_id=approval.id, wish=kind, reason=reason
        )
        notify_admins(
            session, QUESTIONS[kind], Level.WARNING, at=at, server_handle=handle, approval_id=approval.id, **values
        )
        return approval

    async def _open_on(self, session: AsyncSession, handle: str, *, at: datetime) -> Approval | None:
        await expire_wishes(session, at=at, handle=handle)
        found: Approval | None = await session.scalar(
            select(Approval).where(
                Approval.server_handle == handle, Approval.wish.is_not(None), Approval.decision.is_(None)
            )
        )
        return found


def _shared(waiting: Approval, reference: str) -> Approval:
    wish = waiting.wish or {}
    known = {wish.get(REFERENCE), *wish.get(SHARED_BY, ())}
    if reference and reference not in known:
        waiting.wish = {**wish, SHARED_BY: [*wish.get(SHARED_BY, ()), reference]}
    return waiting


async def wish_of(session: AsyncSession, reference: str) -> Approval | None:
    """The newest question that was asked under this mark, or that is shared by it."""
    is_ours = or_(Approval.wish[REFERENCE].astext == reference, Approval.wish[SHARED_BY].contains([reference]))
    found: Approval | None = await session.scalar(select(Approval).where(is_ours).order_by(Approval.id.desc()).limit(1))
    return found


async def expire_wishes(session: AsyncSession, *, at: datetime, handle: str = "") -> None:
    """No answer in time is a no."""
    statement = update(Approval).where(
        Approval.wish.is_not(None), Approval.decision.is_(None), Approval.expires_at <= at
    )
    if handle:
        statement = statement.where(Approval.server_handle == handle)
    await session.execute(statement.values(decision=Decision.EXPIRED.value, decided_by="time", decided_at=at))
