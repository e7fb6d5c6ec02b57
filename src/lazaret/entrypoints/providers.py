"""The providers of this installation: who may be changed at each, and the clients of those that are configured.

The one place that knows every adapter of a provider. Each is imported only where it is used: a command of the command
line speaks to none.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import Database
from lazaret.kernel.settings import Settings
from lazaret.servers.permissions import Listed, Permissions
from lazaret.servers.provider import Provider
from lazaret.servers.registry import KINDS, STATIC, TIME4VPS
from lazaret.servers.store import handle_of


def permissions_of(settings: Settings) -> Permissions:
    """The operator's lists, as every process asks them. A file is read when it is asked for, not here."""
    lists: dict[str, Listed] = {TIME4VPS.name: lambda: settings.time4vps_managed_server_ids}
    if settings.lazaret_static_hosts_file is not None:
        from lazaret.adapters.static import HostsFile  # noqa: PLC0415 - only where there is such a file

        lists[STATIC.name] = HostsFile(settings.lazaret_static_hosts_file).managed_ids
    return Permissions(lists)


def managed_handles(permissions: Permissions) -> list[str]:
    """The servers that may be changed now, of every provider, by handle. Seen or not: a list may be ahead of them."""
    return [handle_of(kind.name, server_id) for kind in KINDS for server_id in sorted(permissions.ids_of(kind.name))]


async def open_providers(
    settings: Settings, db: Database, clock: Clock, stack: AsyncExitStack
) -> Mapping[str, Provider]:
    """A client of each configured provider, by name; they end with the stack."""
    found: dict[str, Provider] = {}
    if settings.time4vps_login and settings.time4vps_password:
        from lazaret.adapters.time4vps import Time4VPSClient  # noqa: PLC0415 - heavy
        from lazaret.servers.call_budget import PostgresCallBudget, Rate  # noqa: PLC0415

        found[TIME4VPS.name] = await stack.enter_async_context(
            Time4VPSClient(
                base_url=settings.time4vps_base_url,
                login=settings.time4vps_login,
                password=settings.time4vps_password,
                budget=PostgresCallBudget(
                    db,
                    clock,
                    account=f"time4vps:{settings.time4vps_login}",
                    rate=Rate.per_minute(settings.lazaret_provider_calls_per_minute),
                ),
                clock=clock,
                poll_interval_s=settings.password_reset_poll_interval,
            )
        )
    if settings.lazaret_static_hosts_file is not None:
        from lazaret.adapters.static import HostsFile, StaticProvider  # noqa: PLC0415

        found[STATIC.name] = StaticProvider(HostsFile(settings.lazaret_static_hosts_file))
    return found
