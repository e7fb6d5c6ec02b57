"""The inventory: reads the provider's list and brings the table of servers in line with it. It changes no machine.

A managed server that is new gets its status and its operation in one transaction; the operation comes from above,
through `on_admitted`.
"""

from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.kernel.logging import get_logger
from lazaret.servers import store
from lazaret.servers.model import Presence, Server, SyncState
from lazaret.servers.permissions import Permissions
from lazaret.servers.pins import pins_after
from lazaret.servers.provider import ListedServer, Provider, ProviderError
from lazaret.servers.registry import kind_of
from lazaret.servers.status import Party, ServerStatus, StatusEvent, legal_events
from lazaret.servers.sync_plan import VANISHED, KnownServer, SyncPlan, plan_sync

logger = get_logger(__name__)

OnAdmitted = Callable[[AsyncSession, Server, datetime], Awaitable[None]]
"""Called with a locked server that has just become `pending_setup`: records the operation that sets it up."""


class Inventory:
    """Keeps the table of servers in line with one provider's list."""

    def __init__(
        self,
        db: Database,
        provider: Provider,
        clock: Clock,
        *,
        permissions: Permissions,
        ssh_port: int,
        has_services: Callable[[AsyncSession, str], Awaitable[bool]],
        on_admitted: OnAdmitted,
        on_rebuild_due: OnAdmitted,
        on_replaced: OnAdmitted,
    ) -> None:
        self._db = db
        self._provider = provider
        self._clock = clock
        self._kind = kind_of(provider.name)
        self._permissions = permissions
        self._ssh_port = ssh_port
        self._has_services = has_services
        self._on_admitted = on_admitted
        self._on_rebuild_due = on_rebuild_due
        self._on_replaced = on_replaced

    async def sync(self) -> SyncPlan | None:
        """One reading. None when the provider did not answer, which changes nothing but the record of it."""
        try:
            listed = await self._provider.list_servers()
        except ProviderError as error:
            logger.warning("inventory.provider_failed", code=error.code, error=error.message)
            async with self._db.transaction() as session:
                await self._record(session, code=error.code, error=error.message, hint=error.hint)
            return None
        async with self._db.transaction() as session:
            rows = await session.scalars(
                select(Server).where(Server.provider == self._provider.name).order_by(Server.handle).with_for_update()
            )
            servers = {server.provider_id: server for server in rows}
            known = [_known_of(server) for server in servers.values()]
            plan = plan_sync(
                known,
                listed,
                self._managed_ids(listed),
                self._clock.now(),
                permission_in_list=self._kind.list_is_the_operators,
                taken=await self._managed_elsewhere(session),
            )
            if plan.believed and self._kind.list_is_the_operators:
                await self._take_over(session, servers, listed)
            await self._apply(session, servers, plan)
            await self._record(
                session,
                listed=len(listed),
                code=None if plan.believed else "list_not_believed",
                error=None if plan.believed else plan.why_not,
                hint=None if plan.believed else "No server was moved. It is read again at the next sync.",
            )
        return plan

    def _managed_ids(self, listed: list[ListedServer]) -> Collection[int]:
        """Permission that stands in the list is that of this very reading: the next one may fail."""
        if self._kind.list_is_the_operators:
            return frozenset(row.server_id for row in listed if row.is_managed)
        return self._permissions.ids_of(self._provider.name)

    async def _managed_elsewhere(self, session: AsyncSession) -> dict[str, str]:
        """Handles by the addresses at which another provider's servers are managed."""
        rows = await session.execute(
            select(Server.public_ip, Server.handle).where(
                Server.provider != self._provider.name, Server.is_managed, Server.public_ip.is_not(None)
            )
        )
        return {address or "": handle for address, handle in rows}

    async def _take_over(self, session: AsyncSession, servers: dict[int, Server], listed: list[ListedServer]) -> None:
        """What the operator's own list says of a server that is known: how it is called, reached and recognised."""
        now = self._clock.now()
        for row in listed:
            server = servers.get(row.server_id)
            if server is None:
                continue
            server.host, server.label = row.hostname, row.label
            server.ssh_port = row.ssh_port or self._ssh_port
            server.ssh_user = row.ssh_user or "root"
            await self._pin(session, server, row, now)

    async def _pin(self, session: AsyncSession, server: Server, row: ListedServer, now: datetime) -> None:
        """Another machine's keys open a new epoch, in which nothing of the old one is believed."""
        pins = pins_after(server.host_keys, row.host_keys)
        if list(pins.host_keys) == server.host_keys:
            return
        if pins.is_another_machine or not server.host_key_epoch:
            server.host_key_epoch += 1
            server.host_key_opened_by = "the operator's list"
        if pins.is_another_machine:
            server.provisioned_at = server.baseline_version = None
            await self._on_replaced(session, server, now)
        server.host_keys = list(pins.host_keys)
        audit.record(
            session,
            audit.INVENTORY,
            "server.pin_host_key",
            f"server:{server.handle}",
            at=now,
            epoch=server.host_key_epoch,
            host_keys=server.host_keys,
            is_another_machine=pins.is_another_machine,
        )

    async def _apply(self, session: AsyncSession, servers: dict[int, Server], plan: SyncPlan) -> None:
        now = self._clock.now()
        for provider_id, server in servers.items():
            self._note_presence(session, server, plan.presence[provider_id], now)
            server.missing_since = plan.missing_since[provider_id]
            if plan.presence[provider_id] is Presence.KNOWN:
                server.last_listed_at = now
            if provider_id in plan.moved:
                self._move(session, server, plan.moved[provider_id], now)
        for row in plan.discovered:
            server = await self._discover(session, row, now)
            if row.server_id in plan.admitted:
                await self._admit(session, server, now)
            elif row.server_id in plan.not_admitted:
                self._change(session, server, StatusEvent.NOT_ADMITTED, now, plan.not_admitted[row.server_id])
        for provider_id in plan.promoted:
            await self._admit(session, servers[provider_id], now)
        for provider_id in plan.demoted:
            self._demote(session, servers[provider_id], now)
        for provider_id in plan.restored:
            self._restore(session, servers[provider_id], now)
        await self.detect_status_changes(session, servers, plan, now)
        await self.check_force_rebuild_triggers(session, list(servers.values()), now)

    async def _discover(self, session: AsyncSession, row: ListedServer, now: datetime) -> Server:
        server = Server(
            handle=store.handle_of(self._provider.name, row.server_id),
            provider=self._provider.name,
            provider_id=row.server_id,
            host=row.hostname,
            label=row.label,
            public_ip=row.public_ip,
            ssh_port=row.ssh_port or self._ssh_port,
            ssh_user=row.ssh_user or "root",
            host_keys=[],
            host_key_epoch=0,
            is_managed=False,
            status=ServerStatus.DISCOVERED.value,
            status_since=now,
            presence=Presence.KNOWN.value,
            last_listed_at=now,
            created_at=now,
            updated_at=now,
        )
        session.add(server)
        await session.flush()
        audit.record(
            session, audit.INVENTORY, "server.discover", f"server:{server.handle}", at=now, address=row.public_ip
        )
        await self._pin(session, server, row, now)
        return server

    async def _admit(self, session: AsyncSession, server: Server, now: datetime) -> None:
        self._change(session, server, StatusEvent.ADMITTED, now, "on the list of managed servers")
        server.is_managed = True
        await session.flush()
        await self._on_admitted(session, server, now)

    def _demote(self, session: AsyncSession, server: Server, now: datetime) -> None:
        """From now on the guard refuses it; the status follows as soon as nothing is under way."""
        server.is_managed = False
        if StatusEvent.NOT_ADMITTED in legal_events(ServerStatus(server.status), Party.INVENTORY):
            self._change(session, server, StatusEvent.NOT_ADMITTED, now, "no longer on the list of managed servers")
        audit.record(session, audit.INVENTORY, "server.demote", f"server:{server.handle}", at=now)

    def _restore(self, session: AsyncSession, server: Server, now: datetime) -> None:
        """On the list again before it became a ghost: its status was never changed."""
        server.is_managed = True
        audit.record(session, audit.INVENTORY, "server.restore", f"server:{server.handle}", at=now)

    async def detect_status_changes(
        self, session: AsyncSession, servers: dict[int, Server], plan: SyncPlan, now: datetime
    ) -> None:
        """An operational server that is confirmed absent is in error; it is not when it is listed again."""
        for provider_id in plan.lost:
            self._change(session, servers[provider_id], StatusEvent.LOST, now, VANISHED)
        for provider_id in plan.came_back:
            server = servers[provider_id]
            serves = await self._has_services(session, server.handle)
            event = StatusEvent.CAME_BACK_WITH_SERVICES if serves else StatusEvent.CAME_BACK
            self._change(session, server, event, now, "listed again")

    async def check_force_rebuild_triggers(self, session: AsyncSession, servers: list[Server], now: datetime) -> None:
        """A server that is to be rebuilt and has no operation for it gets one."""
        for server in servers:
            if server.status == ServerStatus.FORCE_REBUILD and server.is_managed:
                await self._on_rebuild_due(session, server, now)

    def _move(self, session: AsyncSession, server: Server, address: str, now: datetime) -> None:
        audit.record(
            session,
            audit.INVENTORY,
            "server.address_changed",
            f"server:{server.handle}",
            at=now,
            before=server.public_ip,
            after=address,
        )
        server.public_ip = address

    def _note_presence(self, session: AsyncSession, server: Server, presence: Presence, now: datetime) -> None:
        if server.presence != presence:
            audit.record(
                session,
                audit.INVENTORY,
                "server.presence",
                f"server:{server.handle}",
                at=now,
                before=server.presence,
                after=presence.value,
            )
            server.presence = presence.value

    def _change(self, session: AsyncSession, server: Server, event: StatusEvent, now: datetime, reason: str) -> None:
        store.change_status(session, server, event, Party.INVENTORY, actor=audit.INVENTORY, at=now, reason=reason)

    async def _record(
        self, session: AsyncSession, *, code: str | None, error: str | None, hint: str | None, listed: int | None = None
    ) -> None:
        now = self._clock.now()
        state = await session.get(SyncState, self._provider.name, with_for_update=True)
        if state is None:
            state = SyncState(provider=self._provider.name, listed=0, failures=0)
            session.add(state)
        state.last_attempt_at = now
        state.error_code, state.error, state.hint = code, error, hint
        state.failures = 0 if code is None else state.failures + 1
        if listed is not None:
            state.listed = listed
        if code is None:
            state.last_success_at = now


def _known_of(server: Server) -> KnownServer:
    return KnownServer(
        provider_id=server.provider_id,
        public_ip=server.public_ip,
        is_managed=server.is_managed,
        status=ServerStatus(server.status),
        status_reason=server.status_reason,
        presence=Presence(server.presence),
        missing_since=server.missing_since,
    )
