"""What people ask of healing, the same for every channel: approve, deny, try again, hold, freeze, plan maintenance.

Records answers and intents; touches no machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.healing import store
from lazaret.healing.model import Approval, Decision
from lazaret.healing.steps.ask_approval import APPROVAL
from lazaret.healing.trigger import MOST_ATTEMPTS
from lazaret.healing.wishes import REFERENCE, WishKind
from lazaret.incidents.model import OPEN, IncidentStatus, IncidentType, TimelineKind
from lazaret.incidents.store import acknowledge, get_incident, list_incidents, tell
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from lazaret.kernel.i18n import mark
from lazaret.kernel.moments import moment_of
from lazaret.operations.intents import PRIORITY_RECOVERY, Intent, Intents
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.outcome import HELD_BACK
from lazaret.operations.store import get_operation
from lazaret.servers.model import Hold, MaintenanceWindow
from lazaret.servers.store import get_server, holds_on

LONGEST_REASON = 500
DECIDED = {
    Decision.APPROVED: mark("{remedy} approved by {actor}. {note}"),
    Decision.DENIED: mark("{remedy} denied by {actor}. {note}"),
}
"""How an incident's timeline tells of an answer."""


@dataclass(frozen=True, slots=True)
class Infirmary:
    """Where people's answers and wishes about healing are taken."""

    intents: Intents

    async def decide(
        self,
        session: AsyncSession,
        approval_id: int,
        decision: Decision,
        actor: audit.Actor,
        *,
        at: datetime,
        note: str = "",
    ) -> Approval:
        """Answer a question. The first answer counts; the same one again changes nothing, another is refused."""
        asked = await store.get_approval(session, approval_id)
        if asked.wish is not None:
            return await self._answer_wish(session, approval_id, decision, actor, at=at, note=note)
        assert asked.operation_id is not None and asked.incident_id is not None
        operation = await get_operation(session, asked.operation_id, for_update=True)
        approval = await store.get_approval(session, approval_id, for_update=True)
        if _is_answered(approval, decision):
            return approval
        if approval.expires_at <= at:
            raise Conflict(f"Approval {approval_id} has expired.", hint=_again(asked.incident_id))
        if operation.status not in {OperationStatus.WAITING, OperationStatus.QUEUED, OperationStatus.RUNNING}:
            raise Conflict(
                f"Approval {approval_id} belongs to operation {operation.id}, which is {operation.status}.",
                hint=_again(asked.incident_id),
            )
        store.decide(approval, decision, str(actor), at=at, note=note[:LONGEST_REASON])
        incident = await get_incident(session, asked.incident_id)
        if incident.status != IncidentStatus.RESOLVED:
            await acknowledge(session, incident.id, actor, at=at)  # who answers has taken note
        tell(
            session,
            incident,
            TimelineKind.PERSON,
            DECIDED[decision],
            at=at,
            remedy=approval.remedy,
            actor=actor,
            note=note,
        )
        _note_answer(session, approval, decision, actor, at=at)
        if operation.status == OperationStatus.WAITING and operation.waiting_for == APPROVAL:
            await self.intents.resume(session, operation, actor, at=at, note=f"{approval.remedy} {decision} by {actor}")
        return approval

    async def _answer_wish(
        self,
        session: AsyncSession,
        approval_id: int,
        decision: Decision,
        actor: audit.Actor,
        *,
        at: datetime,
        note: str,
    ) -> Approval:
        """A yes becomes an operation in the same transaction; where that is refused, the question stays open."""
        approval = await store.get_approval(session, approval_id, for_update=True)
        if actor.channel is audit.Channel.API and approval.asked_by == str(
            audit.Actor(actor.name, audit.Channel.AGENT)
        ):
            raise Forbidden("Who asks does not answer.", hint="Answer it on the dashboard, in Telegram or by lazaret.")
        if _is_answered(approval, decision):
            return approval
        if approval.expires_at <= at:
            raise Conflict(f"Approval {approval_id} has expired.", hint="Whoever wished it may ask again.")
        store.decide(approval, decision, str(actor), at=at, note=note[:LONGEST_REASON])
        if decision is Decision.APPROVED:
            approval.operation_id = (await self._grant(session, approval, actor, at=at)).id
        _note_answer(session, approval, decision, actor, at=at)
        return approval

    async def _grant(self, session: AsyncSession, approval: Approval, actor: audit.Actor, *, at: datetime) -> Operation:
        wish = approval.wish or {}
        reason = f"{approval.asked_by} asked: {wish.get('reason', '')}"
        reference = {REFERENCE: wish[REFERENCE]} if wish.get(REFERENCE) else {}
        if approval.remedy == WishKind.RECOVER:
            return await self.recover_server(
                session, approval.server_handle, actor, at=at, reason=reason, params=reference
            )
        intent = Intent(OperationKind.PROVISION, actor, reason, params=reference)
        return await self.intents.provision(session, approval.server_handle, intent, at=at)

    async def recover_server(
        self,
        session: AsyncSession,
        handle: str,
        actor: audit.Actor,
        *,
        at: datetime,
        reason: str,
        params: Mapping[str, str],
    ) -> Operation:
        """Try (again) to recover a server from its newest open incident."""
        incidents, _ = await list_incidents(session, handle=handle, statuses=sorted(OPEN), limit=1)
        if not incidents:
            raise Conflict(f"{handle} has no open incident.", hint="Nothing is left to recover.")
        return await self.recover(session, incidents[0].id, actor, at=at, reason=reason, params=params)

    async def recover(
        self,
        session: AsyncSession,
        incident_id: int,
        actor: audit.Actor,
        *,
        at: datetime,
        reason: str = "",
        params: Mapping[str, str] | None = None,
    ) -> Operation:
        """Try (again) to recover the server of an open incident, from the first rung on. Raises `Conflict`."""
        incident = await get_incident(session, incident_id, for_update=True)
        if incident.server_handle is None:
            raise Conflict(f"Incident {incident_id} is of the fleet.", hint="Recover its servers one by one.")
        if incident.status == IncidentStatus.RESOLVED:
            raise Conflict(f"Incident {incident_id} is over.", hint="Nothing is left to recover.")
        if incident.incident_type == IncidentType.PROVISIONING_FAILED:  # to see it answer would not prove its set-up
            raise Conflict(
                f"Incident {incident_id} is a set-up that failed; only what was in order can be brought back.",
                hint=f"Mend what the incident says, then set it up again: lazaret provision {incident.server_handle}",
            )
        intent = Intent(
            OperationKind.RECOVER,
            actor,
            reason or f"incident {incident.id}: {incident.cause or incident.incident_type}",
            priority=PRIORITY_RECOVERY,
            params={**(params or {}), "incident_id": incident.id, "is_incident_recovery": True},
            max_attempts=MOST_ATTEMPTS,
        )
        operation = await self.intents.recover(session, incident.server_handle, intent, at=at)
        tell(
            session,
            incident,
            TimelineKind.PERSON,
            "{actor} asked for a recovery (operation {operation_id})",
            at=at,
            actor=actor,
            operation_id=operation.id,
        )
        return operation


def _is_answered(approval: Approval, decision: Decision) -> bool:
    """Whether this answer was given before. Raises `Conflict` when another was."""
    if approval.decision is None or approval.decision == decision:
        return approval.decision is not None
    raise Conflict(
        f"Approval {approval.id} is {approval.decision} already, by {approval.decided_by}.",
        hint="The first answer counts.",
    )


def _again(incident_id: int) -> str:
    return f"Ask anew: lazaret incidents recover {incident_id}"


async def hold(
    session: AsyncSession,
    handle: str | None,
    actor: audit.Actor,
    *,
    at: datetime,
    reason: str,
    until: datetime | None = None,
) -> Hold:
    """Stop automatic and requested action on one server, or (None) freeze the whole fleet."""
    _check_reason(reason)
    until = moment_of(until, "The end of the hold") if until is not None else None
    if until is not None and until <= at:
        raise InvalidInput("A hold cannot end in the past.", hint="Give a time to come.")
    if handle is not None:
        await get_server(session, handle)
    made = Hold(server_handle=handle, owner=str(actor), reason=reason.strip(), created_at=at, expires_at=until)
    session.add(made)
    await session.flush()
    audit.record(session, actor, "hold.set", _subject(handle), at=at, hold_id=made.id, reason=reason)
    return made


async def lift(session: AsyncSession, hold_id: int, actor: audit.Actor, *, at: datetime) -> Hold:
    """End one hold. Doing it again changes nothing."""
    found = await session.scalar(select(Hold).where(Hold.id == hold_id).with_for_update())
    if found is None:
        raise NotFound(f"There is no hold {hold_id}.", hint="`lazaret holds` lists them.")
    if found.lifted_at is None:
        found.lifted_at = at
        audit.record(session, actor, "hold.lift", _subject(found.server_handle), at=at, hold_id=hold_id)
        await _wake(session, found.server_handle, at=at)
    return found


async def _wake(session: AsyncSession, handle: str | None, *, at: datetime) -> None:
    """What was held back on this server, or (None) on any, looks again with the next pass."""
    statement = update(Operation).where(
        Operation.status == OperationStatus.WAITING.value, Operation.waiting_for == HELD_BACK
    )
    if handle is not None:
        statement = statement.where(Operation.server_handle == handle)
    await session.execute(statement.values(waiting_until=at))


async def unfreeze(
    session: AsyncSession, handle: str | None, actor: audit.Actor, *, at: datetime
) -> tuple[list[Hold], list[Hold]]:
    """End every hold on one server, or on the whole fleet (None).

    Returns those that were ended, and those of the other sort that stay in force: the fleet's, which hold the server
    as well, or those of single servers. Raises `NotFound`.
    """
    if handle is not None:
        await get_server(session, handle)
    rows = await list_holds(session, at=at, handle=handle or "")
    ended = [row for row in rows if row.server_handle == handle]
    for row in ended:
        await lift(session, row.id, actor, at=at)
    return ended, [row for row in rows if row.server_handle != handle]


async def list_holds(session: AsyncSession, *, at: datetime, handle: str = "") -> list[Hold]:
    """The holds in force, those of the fleet first."""
    if handle:
        return await holds_on(session, handle, at=at)
    rows = await session.scalars(
        select(Hold)
        .where(Hold.lifted_at.is_(None), or_(Hold.expires_at.is_(None), Hold.expires_at > at))
        .order_by(Hold.server_handle.is_not(None), Hold.id)
    )
    return list(rows)


async def plan_window(
    session: AsyncSession,
    handle: str | None,
    actor: audit.Actor,
    *,
    at: datetime,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
) -> MaintenanceWindow:
    """Plan a time in which nothing is judged or done by itself, for one server or (None) for all."""
    _check_reason(reason)
    starts_at, ends_at = moment_of(starts_at, "The window's start"), moment_of(ends_at, "The window's end")
    if ends_at <= starts_at or ends_at <= at:
        raise InvalidInput("A maintenance window ends after it starts, and not in the past.", hint="Check both times.")
    if handle is not None:
        await get_server(session, handle)
    window = MaintenanceWindow(
        server_handle=handle, owner=str(actor), reason=reason.strip(), starts_at=starts_at, ends_at=ends_at
    )
    session.add(window)
    await session.flush()
    audit.record(session, actor, "window.plan", _subject(handle), at=at, window_id=window.id, reason=reason)
    return window


async def cancel_window(
    session: AsyncSession, window_id: int, actor: audit.Actor, *, at: datetime
) -> MaintenanceWindow:
    """Call a window off, or end it early. Doing it again changes nothing."""
    found = await session.scalar(select(MaintenanceWindow).where(MaintenanceWindow.id == window_id).with_for_update())
    if found is None:
        raise NotFound(f"There is no maintenance window {window_id}.", hint="`lazaret windows` lists them.")
    if found.cancelled_at is None:
        found.cancelled_at = at
        audit.record(session, actor, "window.cancel", _subject(found.server_handle), at=at, window_id=window_id)
    return found


async def list_windows(session: AsyncSession, *, at: datetime) -> list[MaintenanceWindow]:
    """The windows that are in force or to come, soonest first."""
    rows = await session.scalars(
        select(MaintenanceWindow)
        .where(MaintenanceWindow.cancelled_at.is_(None), MaintenanceWindow.ends_at > at)
        .order_by(MaintenanceWindow.starts_at)
    )
    return list(rows)


def _note_answer(
    session: AsyncSession, approval: Approval, decision: Decision, actor: audit.Actor, *, at: datetime
) -> None:
    what: dict[str, Any] = {"remedy" if approval.wish is None else "wish": approval.remedy}
    audit.record(
        session,
        actor,
        f"approval.{decision}",
        _subject(approval.server_handle),
        at=at,
        operation_id=approval.operation_id,
        approval_id=approval.id,
        **what,
    )


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise InvalidInput(
            f"A reason of 1 to {LONGEST_REASON} characters is needed.", hint="Others will read why nothing happens."
        )


def _subject(handle: str | None) -> str:
    return f"server:{handle}" if handle else "fleet"
