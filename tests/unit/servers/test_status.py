"""Every pair of status and event, for every party: what the table has is done, all else is refused by name."""

import itertools

import pytest

from lazaret.servers.status import (
    IN_FLIGHT,
    NEEDS_ATTENTION,
    OPERATIONAL,
    PARKED,
    TABLE,
    IllegalTransition,
    Party,
    ServerStatus,
    StatusEvent,
    legal_events,
    transition,
)

ROWS = {(row.source, row.event): row for row in TABLE}


@pytest.mark.parametrize(("source", "event"), list(itertools.product(ServerStatus, StatusEvent)))
def test_every_pair(source: ServerStatus, event: StatusEvent) -> None:
    row = ROWS.get((source, event))
    for party in Party:
        if row is not None and party in row.parties:
            assert transition(source, event, party) is row.target
            continue
        with pytest.raises(IllegalTransition) as refused:
            transition(source, event, party)
        legal = legal_events(source, party)
        assert refused.value.details["legal"] == sorted(legal)
        assert all(name in refused.value.hint for name in legal)


def test_the_table_has_no_second_row_for_a_pair() -> None:
    assert len(ROWS) == len(TABLE)


def test_the_plans_flows() -> None:
    s, e, p = ServerStatus, StatusEvent, Party
    assert transition(s.DISCOVERED, e.ADMITTED, p.INVENTORY) is s.PENDING_SETUP
    assert transition(s.PENDING_SETUP, e.PROVISIONING_STARTED, p.WORKER) is s.PROVISIONING
    assert transition(s.PROVISIONING, e.PROVISIONED, p.WORKER) is s.READY
    assert transition(s.READY, e.SERVICE_STARTED, p.WORKER) is s.IN_USE
    for operational in OPERATIONAL:
        assert transition(operational, e.LOST, p.MONITOR) is s.ERROR
    assert transition(s.ERROR, e.PROVISIONING_STARTED, p.WORKER) is s.PROVISIONING
    assert transition(s.PROVISIONING, e.PROVISIONED_WITH_SERVICES, p.WORKER) is s.IN_USE
    for anything in set(s) - PARKED - {s.DISCOVERED, s.PROVISIONING, s.FORCE_REBUILD} | {s.MAINTENANCE}:
        assert transition(anything, e.REBUILD_REQUESTED, p.OPERATOR) is s.FORCE_REBUILD
    assert transition(s.FORCE_REBUILD, e.PROVISIONING_STARTED, p.WORKER) is s.PROVISIONING


def test_a_rebuild_that_did_not_begin_gives_the_server_back() -> None:
    s, e = ServerStatus, StatusEvent
    for party in (Party.OPERATOR, Party.WORKER):
        assert transition(s.FORCE_REBUILD, e.RELEASED, party) is s.READY
        assert transition(s.FORCE_REBUILD, e.RELEASED_WITH_SERVICES, party) is s.IN_USE
    for event in (e.RELEASED, e.RELEASED_WITH_SERVICES, e.RELEASED_OUT_OF_ORDER, e.RELEASED_UNSET):
        assert event not in legal_events(s.MAINTENANCE, Party.WORKER), "only an operator ends a maintenance"


def test_a_ghost_can_only_be_admitted_or_retired() -> None:
    found = {event for party in Party for event in legal_events(ServerStatus.RESERVED, party)}
    assert found == {StatusEvent.ADMITTED, StatusEvent.RETIRED}


def test_every_status_has_a_way_out_but_the_last() -> None:
    for status in set(ServerStatus) - {ServerStatus.DECOMMISSIONED}:
        assert any(row.source is status for row in TABLE), status
    assert not any(row.source is ServerStatus.DECOMMISSIONED for row in TABLE)


def test_the_sets_do_not_overlap() -> None:
    sets = (OPERATIONAL, IN_FLIGHT, NEEDS_ATTENTION, PARKED)
    assert all(not a & b for a, b in itertools.combinations(sets, 2))
