"""How much one person is told at once: properties over made-up queues."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.alerting.model import Level
from lazaret.alerting.pacing import BURST, Due, Peace, is_silent, is_within, plan_turn

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
due_messages = st.lists(st.tuples(st.sampled_from(Level), st.integers(0, 600)), max_size=60).map(
    lambda rows: [Due(number, level, NOW - timedelta(seconds=ago)) for number, (level, ago) in enumerate(rows)]
)
peaces = st.builds(Peace, is_quiet=st.booleans(), is_muted=st.booleans())


@given(due_messages, st.integers(0, 30), st.integers(1, 20), peaces)
def test_nothing_is_told_twice_and_nothing_critical_waits(due: list[Due], sent: int, limit: int, peace: Peace) -> None:
    turn = plan_turn(due, sent_last_hour=sent, limit=limit, peace=peace)
    told = [*turn.alone, *turn.together, *turn.together_now]
    assert len({one.id for one in told}) == len(told)
    assert {one.id for one in due if one.level is Level.CRITICAL} <= {one.id for one in told}
    ordinary = [one for one in turn.alone if one.level is not Level.CRITICAL]
    assert len(ordinary) <= max(0, limit - sent)
    assert len(turn.alone) <= 2 * BURST
    assert all(one.level is Level.CRITICAL for one in turn.together_now)
    if not peace.is_quiet and not peace.is_muted:
        assert len(told) == len(due), "nothing waits without a reason"


@given(due_messages)
def test_critical_messages_go_first(due: list[Due]) -> None:
    turn = plan_turn(due, sent_last_hour=0, limit=10, peace=Peace())
    levels = [one.level is Level.CRITICAL for one in turn.alone]
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize(
    ("level", "peace", "silent"),
    [
        (Level.INFO, Peace(), True),
        (Level.ERROR, Peace(), False),
        (Level.ERROR, Peace(is_quiet=True), True),
        (Level.CRITICAL, Peace(is_quiet=True, is_muted=True), False),
    ],
)
def test_what_makes_a_sound(level: Level, peace: Peace, silent: bool) -> None:
    assert is_silent(level, peace) is silent


@pytest.mark.parametrize(
    ("moment", "inside"), [("23:00", True), ("02:00", True), ("06:59", True), ("07:00", False), ("22:59", False)]
)
def test_quiet_hours_go_over_midnight(moment: str, inside: bool) -> None:
    assert is_within(time.fromisoformat(moment), time(23), time(7)) is inside
    assert is_within(time.fromisoformat(moment), time(7), time(23)) is not inside
