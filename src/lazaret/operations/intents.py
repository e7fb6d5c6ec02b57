"""Intents: what somebody wants done to a server, recorded with the operation that will do it, in one transaction.

Nothing here touches a machine. Everything here may be refused, with the reason.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.correlation import carried
from lazaret.kernel.errors import Conflict
from lazaret.operations import store
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.queue import Queue
from lazaret.servers import store as servers
from lazaret.servers.model import Server
from lazaret.servers.permissions import Permissions
from lazaret.servers.status import OPERATIONAL, Party, ServerStatus, StatusEvent


class OperationInProgress(Conflict):
    """The server has a live operation; there is never a second one."""

    code = "operation_in_progress"


class NotProvisionable(Conflict):
    """The server's status does not allow this intent."""

    code = "not_provisionable"


PRIORITY_ROUTINE = 0
PRIORITY_REQUESTED = 10
PRIORITY_RECOVERY = 20

STATUS_BEFORE = "status_before"
"""The parameter of a rebuild that says what the server was: it is that again when the rebuild is withdrawn in time."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted, by whom and why. `params` become the operation's."""

    kind: OperationKind
    actor: audit.Actor
    reason: str = ""
    priority: int = PRIORITY_REQUESTED
    params: dict[str, Any] = field(default_factory=dict)
    max_attempts: int | None = None
    """Left out: the configured number."""


class Intents:
    """Records intents. `permissions` are the operator's lists; `max_attempts` bounds every operation."""

    def __init__(self, queue: Queue, *, permissions: Permissions, max_attempts: int) -> None:
        self._queue = queue
        self.permissions = permissions
        self._max_attempts = max_attempts

    def is_allowed(self, server: Server) -> bool:
        """Whether the operator's list has this server now."""
        return server.provider_id in self.permissions.ids_of(server.provider)

    def require_touchable(self, server: Server, *, holds: Collection[str] = ()) -> None:
        """Raise `TouchRefused` unless the guard lets this server be touched."""
        self.permissions.require_touchable(servers.target_of(server), holds=holds)

    async def provision(self, session: AsyncSession, handle: str, intent: Intent, *, at: datetime) -> Operation:
        """Set the server up (again); data stays. Raises `TouchRefused`, `OperationInProgress` or `NotProvisionable`."""
        return await self._begin(session, await self.check_provision(session, handle, at=at), intent, at=at)

    async def check_provision(self, session: AsyncSession, handle: str, *, at: datetime) -> Server:
        """The locked server, if it may be set up now. Raises as `provision` does."""
        server = await self._admit(session, handle, at=at)
        if server.status in {ServerStatus.MAINTENANCE, ServerStatus.DISCOVERED}:
            raise NotProvisionable(
                f"{handle} is {server.status}.", hint="End its maintenance first, or wait until it was judged."
            )
        return server

    async def rebuild(self, session: AsyncSession, handle: str, intent: Intent, *, at: datetime) -> Operation:
        """Set the server up from the start; with `params["reinstall"]` on a fresh operating system: data goes.

        The intent shows as the status `force_rebuild` until a worker begins. Raises as `provision` does, and
        `IllegalTransition`.
        """
        server = await self._admit(session, handle, at=at)
        before = server.status
        servers.change_status(
            session,
            server,
            StatusEvent.REBUILD_REQUESTED,
            Party.OPERATOR,
            actor=intent.actor,
            at=at,
            reason=intent.reason or f"rebuild asked for by {intent.actor}",
        )
        intent = replace(intent, params={**intent.params, STATUS_BEFORE: before})
        return await self._begin(session, server, intent, at=at)

    async def recover(self, session: AsyncSession, handle: str, intent: Intent, *, at: datetime) -> Operation:
        """Bring a lost server back, rung by rung. Raises as `provision` does."""
        return await self._begin(session, await self.check_recover(session, handle, at=at), intent, at=at)

    async def check_recover(self, session: AsyncSession, handle: str, *, at: datetime) -> Server:
        """The locked server, if it may be recovered now. Raises as `provision` does."""
        server = await self._admit(session, handle, at=at)
        if server.status not in {ServerStatus.READY, ServerStatus.IN_USE, ServerStatus.ERROR}:
            raise NotProvisionable(
                f"{handle} is {server.status}.", hint="Only a server that was in order is recovered."
            )
        return server

    async def deploy(self, session: AsyncSession, handle: str, intent: Intent, *, at: datetime) -> Operation:
        """Bring a service to or from a server that is set up. Raises as `provision` does."""
        server = await self._admit(session, handle, at=at)
        require_in_order(server)
        return await self._begin(session, server, intent, at=at)

    async def enqueue_new(self, session: AsyncSession, server: Server, intent: Intent, *, at: datetime) -> Operation:
        """The operation for a server that the caller has just admitted and locked."""
        return await self._begin(session, server, intent, at=at)

    async def cancel(self, session: AsyncSession, operation_id: int, actor: audit.Actor, *, at: datetime) -> Operation:
        """Stop an operation: at once when no worker has it, else at the worker's next safe point."""
        operation = await store.get_operation(session, operation_id, for_update=True)
        status = OperationStatus(operation.status)
        if status not in {OperationStatus.QUEUED, OperationStatus.WAITING, OperationStatus.RUNNING}:
            raise Conflict(f"Operation {operation_id} has ended: {status}.", hint="Only a live one can be cancelled.")
        operation.cancel_requested_by = str(actor)
        audit.record(
            session, actor, "operation.cancel", f"server:{operation.server_handle}", at=at, operation_id=operation.id
        )
        if status is not OperationStatus.RUNNING:
            await end_cancelled(session, operation, actor, at=at)
        return operation

    async def resume(
        self, session: AsyncSession, operation: Operation, actor: audit.Actor, *, at: datetime, note: str
    ) -> None:
        """A person did what a waiting operation, locked by the caller, asked for: run it again."""
        operation.status = OperationStatus.QUEUED.value
        operation.waiting_for = None
        operation.waiting_until = None
        operation.due_at = at
        operation.attempt = max(0, operation.attempt - 1)  # waiting for a person is not an attempt that failed
        audit.record(
            session, actor, "operation.resume", f"server:{operation.server_handle}", at=at, operation_id=operation.id
        )
        await store.add_event(session, operation, "operation", note, at=at)
        await self._queue.enqueue(session, operation)

    async def _admit(self, session: AsyncSession, handle: str, *, at: datetime) -> Server:
        server = await servers.get_server(session, handle, for_update=True)
        holds = await servers.holds_on(session, handle, at=at)
        self.require_touchable(server, holds=[hold.reason for hold in holds])
        live = await store.live_operation(session, handle)
        if live is not None:
            raise OperationInProgress(
                f"{handle} has operation {live.id} ({live.kind}, {live.status}).",
                hint=f"Wait for it, or cancel it: lazaret operations cancel {live.id}",
                operation_id=live.id,
            )
        return server

    async def _begin(self, session: AsyncSession, server: Server, intent: Intent, *, at: datetime) -> Operation:
        server.provisioning_attempts = 0
        operation = Operation(
            server_handle=server.handle,
            kind=intent.kind.value,
            status=OperationStatus.QUEUED.value,
            requested_by=str(intent.actor),
            reason=intent.reason,
            params={**intent.params, **carried()},
            priority=intent.priority,
            max_attempts=intent.max_attempts or self._max_attempts,
            due_at=at,
            created_at=at,
        )
        session.add(operation)
        await session.flush()
        audit.record(
            session,
            intent.actor,
            f"operation.{intent.kind}",
            f"server:{server.handle}",
            at=at,
            operation_id=operation.id,
            reason=intent.reason,
            params=intent.params,
        )
        text = f"{intent.kind} of {server.handle} asked for by {intent.actor}"
        await store.add_event(session, operation, "operation", text, at=at, data=carried())
        await self._queue.enqueue(session, operation)
        return operation


def require_in_order(server: Server) -> None:
    """Raise `NotProvisionable` where no service can be deployed now."""
    if server.status not in OPERATIONAL:
        raise NotProvisionable(f"{server.handle} is {server.status}.", hint="Services need a server that is in order.")


async def end_cancelled(session: AsyncSession, operation: Operation, actor: audit.Actor, *, at: datetime) -> None:
    """End a locked operation as cancelled and put the server's status right."""
    server = await servers.get_server(session, operation.server_handle, for_update=True)
    store.finish(operation, OperationStatus.CANCELLED, at=at, error=f"Cancelled by {actor}.")
    await store.close_interrupted_steps(session, operation.id, at=at)
    event = _event_of_cancelling(ServerStatus(server.status), operation.params.get(STATUS_BEFORE))
    if event is not None:
        servers.change_status(
            session,
            server,
            event,
            Party.OPERATOR,
            actor=actor,
            at=at,
            reason=f"operation {operation.id} was cancelled",
            operation_id=operation.id,
        )
    await store.add_event(session, operation, "operation", f"cancelled by {actor}", at=at)


def _event_of_cancelling(status: ServerStatus, before: str | None) -> StatusEvent | None:
    """A rebuild that still shows as a wish did nothing to the server, which is what it was; never better than that."""
    if status is ServerStatus.PROVISIONING:
        return StatusEvent.PROVISIONING_CANCELLED
    if status is not ServerStatus.FORCE_REBUILD:
        return None
    if before == ServerStatus.PENDING_SETUP:
        return StatusEvent.RELEASED_UNSET
    return back_in_service(status, before) or StatusEvent.PROVISIONING_CANCELLED


def back_in_service(status: ServerStatus, before: str | None) -> StatusEvent | None:
    """What gives a server back to its service when a rebuild that never began on it ends; None where nothing does."""
    if status is not ServerStatus.FORCE_REBUILD:
        return None
    match before:
        case ServerStatus.READY:
            return StatusEvent.RELEASED
        case ServerStatus.IN_USE:
            return StatusEvent.RELEASED_WITH_SERVICES
    return None
