"""Which server gets a service, and whether it must be set up first. The admission rule decides. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lazaret.deployments.admission import Candidate, Wanted, best
from lazaret.servers.status import ServerStatus

TO_BE_SET_UP = frozenset({ServerStatus.PENDING_SETUP, ServerStatus.PROVISIONING, ServerStatus.ERROR})
"""A server that never was in order and is in one of these can be brought into order."""
TO_BE_RECOVERED = frozenset({ServerStatus.ERROR, ServerStatus.PROVISIONING})


@dataclass(frozen=True, slots=True)
class Allotment:
    """The server for a service."""

    handle: str
    needs_setup: bool


def allot(candidates: Sequence[Candidate], wanted: Wanted, *, at: datetime, recovering: bool) -> Allotment | None:
    """An admissible server, else one that only has to be set up (or, when `recovering`, brought back); else None."""
    admitted = best(candidates, wanted, at=at)
    if admitted is not None:
        return Allotment(admitted.handle, needs_setup=False)
    curable = [one for one in candidates if can_be_cured(one, wanted, recovering=recovering)]
    chosen = min(
        curable, key=lambda one: (not one.live_operation, one.handle), default=None
    )  # the one on its way first
    return Allotment(chosen.handle, needs_setup=True) if chosen is not None else None


def can_be_cured(candidate: Candidate, wanted: Wanted, *, recovering: bool) -> bool:
    """Whether nothing speaks against the server that setting it up, or recovering it, does not cure."""
    curable = TO_BE_RECOVERED if candidate.is_provisioned else TO_BE_SET_UP
    if candidate.status not in curable or (candidate.is_provisioned and not recovering):
        return False
    if candidate.holds or not candidate.is_managed or wanted.service_name in candidate.names_taken:
        return False
    return wanted.port is None or wanted.port not in candidate.ports_taken


def is_known_there(candidate: Candidate, wanted: Wanted) -> Candidate:
    """The same server as if the service, which is there already, were not: for its next version."""
    return replace(candidate, names_taken=candidate.names_taken - {wanted.service_name})
