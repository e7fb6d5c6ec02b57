"""What people ask of provisioning, the same for the API and the command line. Records intents; touches no machine."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.store import has_running
from lazaret.incidents.out_of_service import is_kept_out
from lazaret.kernel import audit
from lazaret.kernel.errors import Conflict, InvalidInput
from lazaret.kernel.secrets import SecretStore
from lazaret.kernel.texts import LONGEST, has_control
from lazaret.operations.intents import Intent, Intents, OperationInProgress
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.store import live_operation
from lazaret.provisioning.context import ROOT_PASSWORD, secret_owner
from lazaret.provisioning.passwords import answer_question
from lazaret.servers import store as servers
from lazaret.servers.model import RebuildPolicy, Server
from lazaret.servers.provider import Capability
from lazaret.servers.registry import kind_of
from lazaret.servers.status import Party, ServerStatus, StatusEvent

LONGEST_PASSWORD = 200


class CannotReinstall(Conflict):
    """The server's provider cannot put a fresh operating system on it."""

    code = "cannot_reinstall"


async def require_reinstallable(session: AsyncSession, handle: str) -> None:
    """Raise `CannotReinstall` unless the server's provider can reinstall it."""
    server = await servers.get_server(session, handle)
    if Capability.REINSTALL not in server.capabilities:
        raise CannotReinstall(
            f"{handle} cannot be reinstalled: {kind_of(server.provider).title} has no such function.",
            hint="Keep its system (--keep-os, in the API reinstall: false); or install it anew by hand, write its new "
            "host key into the hosts file and provision it.",
        )


@dataclass(frozen=True, slots=True)
class Desk:
    """Where requests are made."""

    intents: Intents
    secrets: SecretStore

    async def provision(
        self,
        session: AsyncSession,
        handle: str,
        actor: audit.Actor,
        *,
        at: datetime,
        reason: str = "",
        root_password: SecretStr | None = None,
        converge: bool = False,
    ) -> Operation:
        """Set the server up (again); data stays. A root password is stored first and wakes whoever waits for it.

        `converge` runs the playbook even where the baseline holds.
        """
        if root_password is not None:
            waiting = await self._take_password(session, handle, root_password, actor, at=at)
            if waiting is not None:
                return waiting
        params = {"converge": True} if converge else {}
        intent = Intent(OperationKind.PROVISION, actor, reason, params=params)
        return await self.intents.provision(session, handle, intent, at=at)

    async def rebuild(
        self,
        session: AsyncSession,
        handle: str,
        actor: audit.Actor,
        *,
        at: datetime,
        reason: str = "",
        reinstall: bool = True,
        os_template: str | None = None,
    ) -> Operation:
        """Set the server up from the start; with `reinstall` on a fresh operating system: data goes.

        Raises `CannotReinstall` where the provider has no such function. Whether it offers the system is asked by the
        worker, before anything is done to the server.
        """
        if os_template is not None:
            _check_system(os_template)
        if os_template and not reinstall:
            raise InvalidInput("An operating system was named, but none is to be installed.", hint="Drop one of both.")
        if reinstall:
            await require_reinstallable(session, handle)
        params = {"reinstall": reinstall, "converge": True, **({"os_template": os_template} if os_template else {})}
        intent = Intent(OperationKind.REBUILD, actor, reason, params=params)
        return await self.intents.rebuild(session, handle, intent, at=at)

    async def _take_password(
        self, session: AsyncSession, handle: str, password: SecretStr, actor: audit.Actor, *, at: datetime
    ) -> Operation | None:
        """Store the password if the server may be touched; returns the operation that waited for it, if one did."""
        value = password.get_secret_value()
        if not value or len(value) > LONGEST_PASSWORD or any(ord(letter) < ord(" ") for letter in value):
            raise InvalidInput(
                f"A root password has 1 to {LONGEST_PASSWORD} printable characters.", hint="Give it on one line."
            )
        live = await live_operation(session, handle, for_update=True)
        server = await servers.get_server(session, handle, for_update=True)
        self.intents.require_touchable(server)
        await self.secrets.put(session, secret_owner(handle), ROOT_PASSWORD, password, at=at)
        audit.record(session, actor, "secret.store", f"server:{handle}", at=at, kind=ROOT_PASSWORD)
        if live is None or live.status != OperationStatus.WAITING or live.waiting_for != ROOT_PASSWORD:
            return None
        answer_question(live)
        await self.intents.resume(session, live, actor, at=at, note=f"{actor} gave the root password")
        return live


def _check_system(name: str) -> None:
    if not name.strip() or len(name) > LONGEST or has_control(name):
        raise InvalidInput(
            f"The name of an operating system has 1 to {LONGEST} printable characters.",
            hint="Leave it out for DEFAULT_OS_TEMPLATE or the system that the server has.",
        )


class SetByHand(StrEnum):
    """What a person may say a server is."""

    MAINTENANCE = "maintenance"
    """Out of automatic care."""
    READY = "ready"
    """Back from maintenance; what it then is follows from what is true."""
    DECOMMISSIONED = "decommissioned"
    """Out of service for good."""


async def set_status(
    session: AsyncSession, handle: str, wanted: SetByHand, actor: audit.Actor, *, at: datetime, reason: str = ""
) -> Server:
    """Take a server out of care, or back. Raises `Conflict` and `IllegalTransition` where that cannot be."""
    match wanted:
        case SetByHand.MAINTENANCE:
            return await start_maintenance(session, handle, actor, at=at, reason=reason)
        case SetByHand.READY:
            return await end_maintenance(session, handle, actor, at=at, reason=reason)
        case SetByHand.DECOMMISSIONED:
            return await decommission(session, handle, actor, at=at, reason=reason)


async def describe(
    session: AsyncSession,
    handle: str,
    actor: audit.Actor,
    *,
    at: datetime,
    rebuild_policy: RebuildPolicy | None = None,
    notes: str | None = None,
    reason: str = "",
) -> Server:
    """Change what people say of a server, with an audit entry; None stays. The same again is no change.

    The policy decides whether a recovery may erase data without asking. What notes say is not kept in the audit log,
    which forgets nothing.
    """
    server = await servers.get_server(session, handle, for_update=True)
    subject = f"server:{handle}"
    if rebuild_policy is not None and rebuild_policy != server.rebuild_policy:
        before, after = server.rebuild_policy, rebuild_policy.value
        audit.record(session, actor, "server.rebuild_policy", subject, at=at, before=before, after=after, reason=reason)
        server.rebuild_policy, server.updated_at = rebuild_policy.value, at
    if notes is not None and notes != server.notes:
        audit.record(session, actor, "server.notes", subject, at=at, reason=reason)
        server.notes, server.updated_at = notes, at
    return server


async def start_maintenance(
    session: AsyncSession, handle: str, actor: audit.Actor, *, at: datetime, reason: str = ""
) -> Server:
    """Take a server out of automatic care."""
    return await _change(session, handle, StatusEvent.MAINTENANCE_STARTED, actor, at=at, reason=reason)


async def end_maintenance(
    session: AsyncSession, handle: str, actor: audit.Actor, *, at: datetime, reason: str = ""
) -> Server:
    """Give a server back to automatic care, as what it is."""
    server = await servers.get_server(session, handle, for_update=True)
    if server.status != ServerStatus.MAINTENANCE:
        raise Conflict(f"{handle} is {server.status}, not in maintenance.", hint="`ready` is earned by an operation.")
    return await _change(session, handle, await _what_it_is(session, server), actor, at=at, reason=reason)


async def _what_it_is(session: AsyncSession, server: Server) -> StatusEvent:
    if server.provisioned_at is None:
        return StatusEvent.RELEASED_UNSET
    if await is_kept_out(session, server.handle):
        return StatusEvent.RELEASED_OUT_OF_ORDER
    in_use = await has_running(session, server.handle)
    return StatusEvent.RELEASED_WITH_SERVICES if in_use else StatusEvent.RELEASED


async def decommission(
    session: AsyncSession, handle: str, actor: audit.Actor, *, at: datetime, reason: str = ""
) -> Server:
    """Take a server out of service for good."""
    return await _change(session, handle, StatusEvent.RETIRED, actor, at=at, reason=reason)


async def _change(
    session: AsyncSession, handle: str, event: StatusEvent, actor: audit.Actor, *, at: datetime, reason: str
) -> Server:
    server = await servers.get_server(session, handle, for_update=True)
    live = await live_operation(session, handle)
    if live is not None:
        raise OperationInProgress(
            f"{handle} has operation {live.id} ({live.kind}, {live.status}).",
            hint=f"Wait for it, or cancel it: lazaret operations cancel {live.id}",
            operation_id=live.id,
        )
    servers.change_status(session, server, event, Party.OPERATOR, actor=actor, at=at, reason=reason or f"by {actor}")
    return server
