"""What one reading of the provider's list means, as a pure function: it moves nothing by guess.

An empty, shrunken or self-contradicting list is not believed. Gone needs two complete lists, minutes apart.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lazaret.servers.model import Presence
from lazaret.servers.provider import ListedServer
from lazaret.servers.status import Party, ServerStatus, StatusEvent, legal_events

ABSENT_AFTER = timedelta(minutes=2)
"""Missing from complete lists for so long means absent."""
SHRINK_SHARE = 0.2
SHRINK_COUNT = 2
"""More than max(2, 20 %) of the fleet missing at once: the list is wrong, not the fleet."""
VANISHED = "vanished from the provider's list"
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class KnownServer:
    """What the tables say."""

    provider_id: int
    public_ip: str | None
    is_managed: bool
    status: ServerStatus
    status_reason: str
    presence: Presence
    missing_since: datetime | None


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What is to be changed, by provider id. `lost` are none of the `demoted`: who left our care is no trouble."""

    believed: bool
    why_not: str
    discovered: tuple[ListedServer, ...]
    admitted: frozenset[int]
    """Those of the discovered that come into our care at once."""
    not_admitted: Mapping[int, str]
    """Those that become ghosts, and why. Who has no address yet is neither."""
    promoted: tuple[int, ...]
    """Ghosts that the operator now allows us to change."""
    demoted: tuple[int, ...]
    """Servers that the operator no longer lists, and that are still managed or not yet ghosts."""
    restored: tuple[int, ...]
    """Servers that the operator lists again before they became ghosts."""
    presence: Mapping[int, Presence]
    missing_since: Mapping[int, datetime | None]
    moved: Mapping[int, str]
    """New addresses."""
    lost: tuple[int, ...]
    came_back: tuple[int, ...]


def plan_sync(
    known: Sequence[KnownServer],
    listed: Sequence[ListedServer],
    managed_ids: Collection[int],
    now: datetime,
    *,
    permission_in_list: bool = False,
    taken: Mapping[str, str] = _NONE,
) -> SyncPlan:
    """Hold a list against the tables. Never raises; a list that cannot be believed changes no status.

    `permission_in_list`: the managed ids stand in this very list, so that a server which is merely missing from it
    keeps its place until it is absent (the guard refuses it meanwhile). `taken` are handles by address of the servers
    that are managed by way of another provider: one machine is never managed twice.
    """
    by_id = {server.server_id: server for server in listed}
    why_not = why_not_believed(known, listed)
    believed = not why_not
    presence: dict[int, Presence] = {}
    missing_since: dict[int, datetime | None] = {}
    for server in known:
        state, since = _presence_of(server, server.provider_id in by_id, believed, now)
        presence[server.provider_id], missing_since[server.provider_id] = state, since
    known_ids = {server.provider_id for server in known}
    demoted = tuple(
        s.provider_id
        for s in known
        if _is_demoted(s, managed_ids)
        and not (permission_in_list and s.provider_id not in by_id and presence[s.provider_id] is not Presence.ABSENT)
    )
    discovered = tuple(row for row in by_id.values() if row.server_id not in known_ids) if believed else ()
    return SyncPlan(
        believed=believed,
        why_not=why_not,
        discovered=discovered,
        admitted=frozenset(
            row.server_id for row in discovered if row.server_id in managed_ids and _may_be_managed(row, taken)
        ),
        not_admitted=_not_admitted(discovered, managed_ids, taken),
        promoted=tuple(
            s.provider_id for s in known if believed and _is_promoted(s, by_id.get(s.provider_id), managed_ids, taken)
        ),
        demoted=demoted,
        restored=tuple(s.provider_id for s in known if _is_restored(s, managed_ids)),
        presence=presence,
        missing_since=missing_since,
        moved=_moved(known, by_id, taken) if believed else {},
        lost=tuple(
            s.provider_id
            for s in known
            if believed and s.provider_id not in demoted and _is_lost(s, presence[s.provider_id])
        ),
        came_back=tuple(s.provider_id for s in known if believed and _came_back(s, presence[s.provider_id])),
    )


def why_not_believed(known: Sequence[KnownServer], listed: Sequence[ListedServer]) -> str:
    """Why this list says nothing about who is missing; empty when it is to be believed."""
    repeated = [server_id for server_id, count in Counter(row.server_id for row in listed).items() if count > 1]
    if repeated:
        return f"the list names server {repeated[0]} more than once"
    addresses = Counter(row.public_ip for row in listed if row.public_ip)
    shared = [address for address, count in addresses.items() if count > 1]
    if shared:
        return f"the list gives the address {shared[0]} to more than one server"
    present = [s for s in known if s.presence is not Presence.ABSENT and s.status is not ServerStatus.DECOMMISSIONED]
    if present and not listed:
        return "the list is empty"
    ids = {row.server_id for row in listed}
    newly_missing = [s for s in present if s.provider_id not in ids and s.missing_since is None]
    if len(newly_missing) > max(SHRINK_COUNT, SHRINK_SHARE * len(present)):
        return f"{len(newly_missing)} of {len(present)} servers are missing from the list at once"
    return ""


def _presence_of(
    server: KnownServer, is_listed: bool, believed: bool, now: datetime
) -> tuple[Presence, datetime | None]:
    if is_listed:
        return Presence.KNOWN, None
    if not believed:
        return (Presence.UNKNOWN if server.presence is Presence.KNOWN else server.presence), server.missing_since
    since = server.missing_since or now
    if now - since >= ABSENT_AFTER:
        return Presence.ABSENT, since
    return (server.presence if server.presence is Presence.ABSENT else Presence.UNKNOWN), since


def _not_admitted(
    discovered: Sequence[ListedServer], managed_ids: Collection[int], taken: Mapping[str, str]
) -> dict[int, str]:
    reasons = {}
    for row in discovered:
        if row.server_id not in managed_ids:
            reasons[row.server_id] = "not on the list of managed servers"
        elif row.public_ip and row.public_ip in taken:
            reasons[row.server_id] = f"its address is that of {taken[row.public_ip]}, which is managed already"
    return reasons


def _is_promoted(
    server: KnownServer, row: ListedServer | None, managed_ids: Collection[int], taken: Mapping[str, str]
) -> bool:
    """Allowed by the operator, listed with an address of its own, and not in our care yet."""
    waits = server.status in {ServerStatus.RESERVED, ServerStatus.DISCOVERED}
    return waits and server.provider_id in managed_ids and row is not None and _may_be_managed(row, taken)


def _may_be_managed(row: ListedServer, taken: Mapping[str, str]) -> bool:
    """Whether it has an address that is its own."""
    return bool(row.public_ip) and row.public_ip not in taken


def _is_demoted(server: KnownServer, managed_ids: Collection[int]) -> bool:
    if server.provider_id in managed_ids:
        return False
    may_become_ghost = StatusEvent.NOT_ADMITTED in legal_events(server.status, Party.INVENTORY)
    return server.is_managed or may_become_ghost


def _is_restored(server: KnownServer, managed_ids: Collection[int]) -> bool:
    waits = server.status in {ServerStatus.RESERVED, ServerStatus.DISCOVERED}
    return server.provider_id in managed_ids and not server.is_managed and not waits


def _moved(known: Sequence[KnownServer], by_id: Mapping[int, ListedServer], taken: Mapping[str, str]) -> dict[int, str]:
    """A managed server does not move to an address at which another provider's is managed."""
    moved = {}
    for server in known:
        row = by_id.get(server.provider_id)
        if row is None or (server.is_managed and not _may_be_managed(row, taken)):
            continue
        if row.public_ip and row.public_ip != server.public_ip:
            moved[server.provider_id] = row.public_ip
    return moved


def _is_lost(server: KnownServer, presence: Presence) -> bool:
    return presence is Presence.ABSENT and server.status in {ServerStatus.READY, ServerStatus.IN_USE}


def _came_back(server: KnownServer, presence: Presence) -> bool:
    return (
        presence is Presence.KNOWN and server.status is ServerStatus.ERROR and server.status_reason.startswith(VANISHED)
    )
