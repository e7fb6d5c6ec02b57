"""Safety rules 1 and 3 over generated histories of lists: nothing is moved by guess."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from lazaret.servers.model import Presence
from lazaret.servers.provider import ListedServer
from lazaret.servers.status import ServerStatus
from lazaret.servers.sync_plan import ABSENT_AFTER, KnownServer, SyncPlan, plan_sync, why_not_believed

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTLED = (ServerStatus.READY, ServerStatus.IN_USE, ServerStatus.ERROR, ServerStatus.RESERVED)


def row(server_id: int, address: str | None = None) -> ListedServer:
    return ListedServer(server_id, address or f"203.0.113.{server_id}", f"h{server_id}")


def a_server(server_id: int, status: ServerStatus = ServerStatus.READY, *, managed: bool = True) -> KnownServer:
    return KnownServer(server_id, f"203.0.113.{server_id}", managed, status, "", Presence.KNOWN, None)


def after(known: list[KnownServer], plan: SyncPlan) -> list[KnownServer]:
    """What the tables say after the plan, as far as the next plan reads it."""
    found = []
    for server in known:
        number = server.provider_id
        status = ServerStatus.ERROR if number in plan.lost else server.status
        found.append(
            replace(server, presence=plan.presence[number], missing_since=plan.missing_since[number], status=status)
        )
    return found


LISTS = st.lists(
    st.one_of(
        st.lists(st.integers(1, 12), unique=True, max_size=12).map(lambda ids: [row(number) for number in ids]),
        st.just([row(number) for number in range(1, 13)]),
        st.just([row(1), row(1)]),
        st.just([row(1, "203.0.113.9"), row(2, "203.0.113.9")]),
    ),
    max_size=12,
)


@given(LISTS, st.lists(st.integers(1, 300), min_size=12, max_size=12))
def test_absent_needs_two_believed_lists_minutes_apart(history: list[list[ListedServer]], pauses: list[int]) -> None:
    known = [a_server(number) for number in range(1, 13)]
    managed = frozenset(range(1, 13))
    now = START
    first_missed: dict[int, datetime] = {}
    for listed, pause in zip(history, pauses, strict=False):
        now += timedelta(seconds=pause)
        plan = plan_sync(known, listed, managed, now)
        ids = {server.server_id for server in listed}
        for server in known:
            number = server.provider_id
            became_absent = plan.presence[number] is Presence.ABSENT and server.presence is not Presence.ABSENT
            if became_absent:
                assert plan.believed and number not in ids
                assert now - first_missed[number] >= ABSENT_AFTER
            if number in ids:
                first_missed.pop(number, None)
            elif plan.believed:
                first_missed.setdefault(number, now)
        assert not plan.demoted, "only the operator's list demotes"
        if not plan.believed:
            assert not plan.lost and not plan.moved and not plan.discovered and not plan.promoted
        known = after(known, plan)


@given(st.lists(st.integers(1, 40), min_size=1, unique=True))
def test_an_empty_list_is_never_believed(ids: list[int]) -> None:
    known = [a_server(number) for number in ids]
    plan = plan_sync(known, [], frozenset(ids), START + timedelta(days=9))
    assert (plan.believed, plan.lost, plan.demoted) == (False, (), ())
    assert set(plan.presence.values()) == {Presence.UNKNOWN}


@given(st.integers(3, 60), st.data())
def test_a_shrunken_list_is_not_believed(size: int, data: st.DataObject) -> None:
    gone = data.draw(st.integers(0, size))
    known = [a_server(number) for number in range(1, size + 1)]
    listed = [row(number) for number in range(gone + 1, size + 1)]
    too_many = gone > max(2, 0.2 * size) or not listed
    assert bool(why_not_believed(known, listed)) == too_many


@given(st.frozensets(st.integers(1, 8)), st.frozensets(st.integers(1, 8)), st.sampled_from(SETTLED))
def test_only_the_operators_list_promotes_and_demotes(
    managed_now: frozenset[int], managed_before: frozenset[int], status: ServerStatus
) -> None:
    known = [
        a_server(
            number, status if number in managed_before else ServerStatus.RESERVED, managed=number in managed_before
        )
        for number in range(1, 9)
        if not (number in managed_before and status is ServerStatus.RESERVED)
    ]
    plan = plan_sync(known, [row(number) for number in range(1, 9)], managed_now, START)
    assert set(plan.promoted) <= managed_now
    assert not set(plan.demoted) & managed_now
    assert set(plan.demoted) >= {server.provider_id for server in known if server.is_managed} - managed_now


def test_a_new_server_a_moved_one_and_one_that_came_back() -> None:
    vanished = replace(
        a_server(2, ServerStatus.ERROR), status_reason="vanished from the provider's list", presence=Presence.ABSENT
    )
    plan = plan_sync([a_server(1), vanished], [row(1, "203.0.113.99"), row(2), row(3)], frozenset({1, 2, 3}), START)
    assert [server.server_id for server in plan.discovered] == [3]
    assert dict(plan.moved) == {1: "203.0.113.99"}
    assert plan.came_back == (2,)


@given(LISTS, st.lists(st.integers(1, 300), min_size=12, max_size=12))
def test_who_leaves_a_list_that_holds_the_permission_is_let_go_when_absent_and_never_lost(
    history: list[list[ListedServer]], pauses: list[int]
) -> None:
    known = [a_server(number) for number in range(1, 13)]
    now = START
    for listed, pause in zip(history, pauses, strict=False):
        now += timedelta(seconds=pause)
        ids = frozenset(server.server_id for server in listed)
        plan = plan_sync(known, listed, ids, now, permission_in_list=True)
        assert not plan.lost, "it is no trouble that somebody left the operator's own list"
        assert set(plan.demoted) == {number for number, seen in plan.presence.items() if seen is Presence.ABSENT}
        known = after([server for server in known if server.provider_id not in plan.demoted], plan)


def test_a_host_that_the_list_names_without_permission_is_let_go_at_once() -> None:
    plan = plan_sync([a_server(1), a_server(2)], [row(1), row(2)], {2}, START, permission_in_list=True)
    assert plan.demoted == (1,)


def test_one_machine_is_never_managed_by_way_of_two_providers() -> None:
    taken = {"203.0.113.3": "vps-9", "203.0.113.1": "vps-8", "203.0.113.99": "vps-7"}
    ghost = a_server(1, ServerStatus.RESERVED, managed=False)
    listed = [row(1), row(2, "203.0.113.99"), row(3), row(4), row(5)]
    plan = plan_sync([ghost, a_server(2)], listed, {1, 2, 3, 4}, START, taken=taken)
    assert plan.promoted == () and not plan.moved
    assert plan.admitted == {4}
    assert {number: "vps-9" in why for number, why in plan.not_admitted.items()} == {3: True, 5: False}


def test_who_is_demoted_and_absent_at_once_is_not_lost_as_well() -> None:
    """The status table has no way from a ghost to trouble."""
    gone = replace(a_server(1), presence=Presence.UNKNOWN, missing_since=START - ABSENT_AFTER)
    plan = plan_sync([gone, a_server(2)], [row(2)], {2}, START)
    assert (plan.demoted, plan.lost) == ((1,), ())
