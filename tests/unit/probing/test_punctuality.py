"""A process that gets no time knows it."""

from lazaret.kernel.clock import ManualClock
from lazaret.probing.punctuality import LATE_S, REMEMBERED_S, Punctuality


def test_a_timer_that_comes_late_is_remembered_for_a_while() -> None:
    clock = ManualClock()
    timer = Punctuality(clock)
    timer.came()
    assert not timer.is_late, "it was not set"
    timer.set(1)
    clock.advance(1 + LATE_S)
    timer.came()
    assert not timer.is_late
    timer.set(1)
    clock.advance(1.1 + LATE_S)
    timer.came()
    assert timer.is_late
    timer.set(1)
    clock.advance(1)
    timer.came()
    assert timer.is_late, "what was seen meanwhile may still be judged"
    clock.advance(REMEMBERED_S)
    assert not timer.is_late
