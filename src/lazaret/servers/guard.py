"""The one rule about touching a machine, as a pure function.

Asked when an intent is recorded, again when its operation begins, and again right before a destructive call.
"""

from collections.abc import Collection
from dataclasses import dataclass

from lazaret.kernel.errors import Forbidden
from lazaret.servers.provider import ServerDetails
from lazaret.servers.registry import kind_of
from lazaret.servers.status import ServerStatus


class TouchRefused(Forbidden):
    """Lazaret may not change this server now; the message says which rule decided."""

    code = "touch_refused"


class OnHold(TouchRefused):
    """Somebody keeps everybody's hands off for a while: what was begun waits for the end of it."""

    code = "on_hold"


@dataclass(frozen=True, slots=True)
class Target:
    """What we believe about the server that is to be touched."""

    handle: str
    provider: str
    provider_id: int
    public_ip: str | None
    is_managed: bool
    status: ServerStatus


def require_touchable(target: Target, *, managed_ids: Collection[int], holds: Collection[str] = ()) -> None:
    """Raise `TouchRefused` unless the server is managed and not parked, `OnHold` while it is held.

    `managed_ids` is the operator's list for the target's provider, by provider id; empty means that nothing is managed.
    `holds` are the reasons of the holds in force.
    """
    if target.provider_id not in managed_ids or not target.is_managed:
        raise TouchRefused(
            f"{target.handle} is not managed: Lazaret sees it and never touches it.",
            hint=kind_of(target.provider).how_to_allow.format(id=target.provider_id),
        )
    if target.status in {ServerStatus.RESERVED, ServerStatus.DECOMMISSIONED}:
        raise TouchRefused(f"{target.handle} is {target.status}.", hint="Only servers in service are touched.")
    if holds:
        raise OnHold(f"{target.handle} is on hold: {'; '.join(holds)}.", hint="End it first: `lazaret unfreeze`.")


def require_same_machine(target: Target, seen: ServerDetails) -> None:
    """Raise `TouchRefused` unless the provider's fresh details are of the machine that we mean, by id and address."""
    if seen.server_id != target.provider_id:
        raise TouchRefused(
            f"The provider answered for server {seen.server_id}, not for {target.provider_id}.", hint="Try again later."
        )
    if not target.public_ip or seen.public_ip != target.public_ip:
        raise TouchRefused(
            f"{target.handle} has the address {seen.public_ip} at the provider and {target.public_ip} in our records.",
            hint="Nothing was done. The next sync takes over a changed address; ask again after it.",
        )
