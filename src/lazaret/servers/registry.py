"""Which providers there are, and what every process knows of one without speaking to it. Pure.

A new provider is a line here, an adapter that fulfils `provider.Provider`, and a branch in `entrypoints/providers.py`.
"""

from dataclasses import dataclass

from lazaret.servers.provider import Capability


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """One provider. `name` is what the column `servers.provider` holds."""

    name: str
    title: str
    """As people call it."""
    handle_prefix: str
    """Handles are `<prefix>-<the provider's id>`; no two providers share one."""
    capabilities: frozenset[Capability]
    how_to_allow: str
    """What the operator does to let Lazaret change one server; `{id}` stands for its id."""
    list_is_the_operators: bool = False
    """The list is the operator's own: permission stands in it, and what it says of a server is taken over."""


TIME4VPS = ProviderKind(
    name="time4vps",
    title="Time4VPS",
    handle_prefix="vps",
    capabilities=frozenset(Capability),
    how_to_allow="Add {id} to TIME4VPS_MANAGED_SERVER_IDS to allow it.",
)
STATIC = ProviderKind(
    name="static",
    title="the hosts file",
    handle_prefix="host",
    capabilities=frozenset(),
    how_to_allow="Write `managed: true` at the host with the id {id} in the file that LAZARET_STATIC_HOSTS_FILE names.",
    list_is_the_operators=True,
)
KINDS: tuple[ProviderKind, ...] = (TIME4VPS, STATIC)

_BY_NAME = {kind.name: kind for kind in KINDS}


def kind_of(provider: str) -> ProviderKind:
    """What is known of a provider. One that this version does not know can do nothing and allows nothing."""
    known = _BY_NAME.get(provider)
    return known or ProviderKind(provider, provider, provider, frozenset(), "This version does not know its provider.")


def capabilities_of(provider: str) -> frozenset[Capability]:
    """What this provider can do for a server."""
    return kind_of(provider).capabilities


def cannot_of(provider: str) -> tuple[Capability, ...]:
    """What it cannot do, in the order of the list of capabilities."""
    return tuple(one for one in Capability if one not in capabilities_of(provider))
