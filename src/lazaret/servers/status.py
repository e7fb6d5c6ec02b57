"""The status table: what a server can be, and which event by whom may change that.

Status says what is true; an intent says what is wanted; an operation says what is being done. This module is pure.
`docs/states.md` is generated from it.
"""

from dataclasses import dataclass
from enum import StrEnum

from lazaret.kernel.errors import Conflict


class ServerStatus(StrEnum):
    """What is true of a server."""

    DISCOVERED = "discovered"
    """Seen in the provider's list, not yet judged."""
    PENDING_SETUP = "pending_setup"
    """Managed and new: waits for its provisioning to begin."""
    PROVISIONING = "provisioning"
    """An operation is setting it up."""
    FORCE_REBUILD = "force_rebuild"
    """Somebody asked for a rebuild, which has not begun yet."""
    READY = "ready"
    """Set up and proved; may receive services."""
    IN_USE = "in_use"
    """Set up and running services."""
    ERROR = "error"
    """Was in order and is not, or could not be brought into order."""
    MAINTENANCE = "maintenance"
    """Taken out of automatic care by an operator."""
    RESERVED = "reserved"
    """A ghost: seen, never touched."""
    DECOMMISSIONED = "decommissioned"
    """Out of service for good."""


class StatusEvent(StrEnum):
    """What happened that may change a status."""

    ADMITTED = "admitted"
    """The operator allows us to change this server."""
    NOT_ADMITTED = "not_admitted"
    """The server is not, or no longer, on the operator's list."""
    PROVISIONING_STARTED = "provisioning_started"
    """An operation that sets the server up has begun its first attempt."""
    PROVISIONED = "provisioned"
    """It was set up and proved; no service runs on it."""
    PROVISIONED_WITH_SERVICES = "provisioned_with_services"
    """It was set up and proved, and its services run."""
    PROVISIONING_FAILED = "provisioning_failed"
    """All attempts are used up, or a person must decide."""
    PROVISIONING_CANCELLED = "provisioning_cancelled"
    """The operation was cancelled before it was done."""
    REBUILD_REQUESTED = "rebuild_requested"
    """Somebody with the right to do so asked for a rebuild."""
    LOST = "lost"
    """An operational server is confirmed to be out of order."""
    CAME_BACK = "came_back"
    """A lost server is proved to be in order; no service runs on it."""
    CAME_BACK_WITH_SERVICES = "came_back_with_services"
    """A lost server is proved to be in order, and its services run."""
    SERVICE_STARTED = "service_started"
    """The first service runs on it."""
    SERVICES_STOPPED = "services_stopped"
    """The last service was stopped or removed."""
    MAINTENANCE_STARTED = "maintenance_started"
    """An operator takes it out of automatic care."""
    RELEASED = "released"
    """Why it was set aside (maintenance, a rebuild that did not begin) is gone; no service runs on it."""
    RELEASED_WITH_SERVICES = "released_with_services"
    """The same, and its services run."""
    RELEASED_OUT_OF_ORDER = "released_out_of_order"
    """The same, and an open incident keeps it out of service."""
    RELEASED_UNSET = "released_unset"
    """The same, and it never was set up."""
    RETIRED = "retired"
    """An operator takes it out of service for good."""


class Party(StrEnum):
    """Who may cause an event."""

    INVENTORY = "inventory"
    """The loop that reads the provider's list."""
    WORKER = "worker"
    """The process that runs operations."""
    MONITOR = "monitor"
    """The process that watches servers."""
    OPERATOR = "operator"
    """A person or a program with the operator's role."""


S, E, P = ServerStatus, StatusEvent, Party

OPERATIONAL = frozenset({S.READY, S.IN_USE})
"""Set up and watched."""
IN_FLIGHT = frozenset({S.PROVISIONING, S.FORCE_REBUILD})
"""An operation has it, or is about to."""
NEEDS_ATTENTION = frozenset({S.ERROR})
"""Somebody or something must act."""
PARKED = frozenset({S.MAINTENANCE, S.RESERVED, S.DECOMMISSIONED})
"""No automatic action."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the table."""

    source: ServerStatus
    event: StatusEvent
    target: ServerStatus
    parties: frozenset[Party]


def _rows(
    sources: tuple[ServerStatus, ...], event: StatusEvent, target: ServerStatus, *parties: Party
) -> list[Transition]:
    return [Transition(source, event, target, frozenset(parties)) for source in sources]


TABLE: tuple[Transition, ...] = (
    *_rows((S.DISCOVERED, S.RESERVED), E.ADMITTED, S.PENDING_SETUP, P.INVENTORY),
    *_rows(
        (S.DISCOVERED, S.PENDING_SETUP, S.FORCE_REBUILD, S.READY, S.IN_USE, S.ERROR, S.MAINTENANCE),
        E.NOT_ADMITTED,
        S.RESERVED,
        P.INVENTORY,
    ),
    *_rows(
        (S.PENDING_SETUP, S.FORCE_REBUILD, S.READY, S.IN_USE, S.ERROR),
        E.PROVISIONING_STARTED,
        S.PROVISIONING,
        P.WORKER,
    ),
    *_rows((S.PROVISIONING,), E.PROVISIONED, S.READY, P.WORKER),
    *_rows((S.PROVISIONING,), E.PROVISIONED_WITH_SERVICES, S.IN_USE, P.WORKER),
    *_rows((S.PROVISIONING, S.FORCE_REBUILD), E.PROVISIONING_FAILED, S.ERROR, P.WORKER),
    *_rows((S.PROVISIONING, S.FORCE_REBUILD), E.PROVISIONING_CANCELLED, S.ERROR, P.WORKER, P.OPERATOR),
    *_rows(
        (S.PENDING_SETUP, S.READY, S.IN_USE, S.ERROR, S.MAINTENANCE),
        E.REBUILD_REQUESTED,
        S.FORCE_REBUILD,
        P.OPERATOR,
    ),
    *_rows((S.READY, S.IN_USE), E.LOST, S.ERROR, P.MONITOR, P.INVENTORY, P.WORKER),
    *_rows((S.ERROR,), E.CAME_BACK, S.READY, P.MONITOR, P.INVENTORY, P.WORKER),
    *_rows((S.ERROR,), E.CAME_BACK_WITH_SERVICES, S.IN_USE, P.MONITOR, P.INVENTORY, P.WORKER),
    *_rows((S.READY,), E.SERVICE_STARTED, S.IN_USE, P.WORKER),
    *_rows((S.IN_USE,), E.SERVICES_STOPPED, S.READY, P.WORKER),
    *_rows((S.PENDING_SETUP, S.READY, S.IN_USE, S.ERROR), E.MAINTENANCE_STARTED, S.MAINTENANCE, P.OPERATOR),
    *_rows((S.MAINTENANCE,), E.RELEASED, S.READY, P.OPERATOR),
    *_rows((S.MAINTENANCE,), E.RELEASED_WITH_SERVICES, S.IN_USE, P.OPERATOR),
    *_rows((S.MAINTENANCE,), E.RELEASED_OUT_OF_ORDER, S.ERROR, P.OPERATOR),
    *_rows((S.MAINTENANCE,), E.RELEASED_UNSET, S.PENDING_SETUP, P.OPERATOR),
    *_rows((S.FORCE_REBUILD,), E.RELEASED, S.READY, P.OPERATOR, P.WORKER),
    *_rows((S.FORCE_REBUILD,), E.RELEASED_WITH_SERVICES, S.IN_USE, P.OPERATOR, P.WORKER),
    *_rows((S.FORCE_REBUILD,), E.RELEASED_UNSET, S.PENDING_SETUP, P.OPERATOR),
    *_rows((S.PENDING_SETUP, S.READY, S.ERROR, S.MAINTENANCE, S.RESERVED), E.RETIRED, S.DECOMMISSIONED, P.OPERATOR),
)

_BY_KEY = {(row.source, row.event): row for row in TABLE}


class IllegalTransition(Conflict):
    """The status table has no such row for this party."""

    code = "illegal_transition"


def transition(source: ServerStatus, event: StatusEvent, party: Party) -> ServerStatus:
    """The status after `event` caused by `party`, or `IllegalTransition` that names what would be legal."""
    row = _BY_KEY.get((source, event))
    if row is not None and party in row.parties:
        return row.target
    legal = legal_events(source, party)
    names = ", ".join(sorted(legal)) or "nothing"
    raise IllegalTransition(
        f"A server that is {source} cannot take the event {event} from the {party}.",
        hint=f"Legal now: {names}.",
        status=source.value,
        event=event.value,
        legal=sorted(legal),
    )


def legal_events(source: ServerStatus, party: Party) -> frozenset[StatusEvent]:
    """What `party` may cause to a server that is `source`."""
    return frozenset(row.event for row in TABLE if row.source is source and party in row.parties)
