"""The board counts, expires and keeps scopes apart."""

import pytest

from lazaret.kernel.clock import ManualClock
from lazaret.kernel.errors import InvalidInput
from lazaret.lab.calls import Call
from lazaret.lab.switches import SWITCH_TYPES, Cut, GatewayError, PlaybookFails, Slow, Switchboard, parse_switch


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def board(clock: ManualClock) -> Switchboard:
    return Switchboard(clock)


def test_a_switch_holds_until_it_is_cleared(board):
    board.set(Slow(delay_s=1))
    assert [board.take(Slow, Call.LIST) is not None for _ in range(5)] == [True] * 5
    board.clear("slow")
    assert board.take(Slow, Call.LIST) is None


def test_a_counted_switch_holds_for_so_many_calls(board):
    board.set(Cut(times=2))
    assert [board.take(Cut, Call.REBOOT) is not None for _ in range(3)] == [True, True, False]
    assert board.current() == []


def test_calls_outside_the_scope_neither_meet_nor_count(board):
    board.set(Cut(times=1, call=Call.RESET_PASSWORD, server_id=900001))
    assert board.take(Cut, Call.REBOOT, 900001) is None
    assert board.take(Cut, Call.RESET_PASSWORD, 900002) is None
    assert board.take(Cut, Call.LIST) is None
    assert board.take(Cut, Call.RESET_PASSWORD, 900001) is not None


def test_a_timed_switch_ends_by_itself(board, clock):
    switch = Slow(delay_s=1, for_s=30)
    board.set(switch)
    clock.advance(29)
    assert board.remaining_s(switch) == 1
    assert board.take(Slow) is not None
    clock.advance(1)
    assert board.take(Slow) is None


def test_the_same_name_with_another_scope_is_another_switch(board):
    board.set(GatewayError(status=502, call=Call.LIST))
    board.set(GatewayError(status=503, call=Call.DETAILS))
    board.set(GatewayError(status=504, call=Call.LIST))
    assert board.take(GatewayError, Call.LIST).status == 504
    assert board.take(GatewayError, Call.DETAILS).status == 503
    board.clear()
    assert board.current() == []


def test_a_playbook_failure_counts_only_when_its_task_has_its_turn(board):
    board.set(PlaybookFails(task=3, times=2, server_id=900001))
    hits = [board.take_playbook_failure(900001, task) is not None for task in (1, 2, 3, 1, 2, 3, 1, 2, 3)]
    assert hits == [False, False, True, False, False, True, False, False, False]
    board.set(PlaybookFails(task=1, server_id=900001))
    assert board.take_playbook_failure(900002, 1) is None


@pytest.mark.parametrize("name", sorted(SWITCH_TYPES))
def test_every_switch_has_a_sentence_and_is_known_by_its_name(name):
    assert SWITCH_TYPES[name].__doc__
    needed = {
        "slow": {"delay_s": 2},
        "throttle_window": {"calls": 1, "window_s": 5},
        "password_text": {"form": "plain"},
    }
    switch = parse_switch({"name": name, "times": 4, **needed.get(name, {})})
    assert type(switch) is SWITCH_TYPES[name] and switch.times == 4


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ([], "None is no switch"),
        ({"name": "nope"}, "'nope' is no switch"),
        ({"name": ["cut"]}, "is no switch"),
        ({"name": "cut", "times": 0}, "times"),
        ({"name": "cut", "colour": 1}, "colour"),
        ({"name": "cut", "call": "explode"}, "call"),
        ({"name": "slow"}, "delay_s"),
        ({"name": "gateway_error", "status": 404}, "status"),
    ],
)
def test_nonsense_is_refused_and_named(data, wrong):
    with pytest.raises(InvalidInput, match=wrong):
        parse_switch(data)
