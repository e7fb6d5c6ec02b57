"""When a loop is dead, and what becomes of one that ended."""

import asyncio

from prometheus_client import generate_latest

from lazaret.kernel.clock import ManualClock
from lazaret.kernel.loop_health import LEAST_PATIENCE_S, STEADY_S, Pulse, beating, loop_states, patience_of
from lazaret.kernel.loops import end_tasks, every
from lazaret.kernel.metrics import REGISTRY


def states() -> dict[str, bool]:
    return {state.name: state.is_dead for state in loop_states()}


def test_how_long_a_loop_may_be_without_success() -> None:
    assert patience_of(1) == LEAST_PATIENCE_S
    assert patience_of(60) == 300


def test_a_loop_whose_passes_fail_or_hang_is_dead_after_its_patience() -> None:
    clock = ManualClock()
    with beating(Pulse("failing", clock, 60)) as failing, beating(Pulse("hanging", clock, 60)) as hanging:
        hanging.begins()
        for _ in range(6):
            failing.begins()
            clock.advance(10)
            failing.failed(ValueError("no"))
        assert (states()["failing"], states()["hanging"]) == (False, False)
        clock.advance(1)
        assert (states()["failing"], states()["hanging"]) == (True, True)
        failing.begins()
        failing.succeeded()
        assert states()["failing"] is False
        told = {state.name: (state.errors, state.error) for state in loop_states()}
        assert (told["failing"], told["hanging"]) == ((6, ""), (0, ""))


def test_what_runs_on_and_on_is_well_while_it_runs_and_dead_when_it_falls_again_and_again() -> None:
    clock = ManualClock()
    with beating(Pulse("lasting", clock, 60, lasting=True)) as pulse:
        pulse.begins()
        clock.advance(1000)
        assert pulse.silent_s == 0
        for _ in range(7):
            pulse.failed(OSError())
            pulse.begins()
            clock.advance(10)
        assert states()["lasting"] is True
        clock.advance(STEADY_S)
        assert states()["lasting"] is False


def test_of_many_loops_with_one_name_the_worst_counts() -> None:
    clock = ManualClock()
    with beating(Pulse("watch", clock, 60)) as well, beating(Pulse("watch", clock, 60)) as ill:
        ill.failed(OSError())
        clock.advance(61)
        well.succeeded()
        (state,) = (one for one in loop_states() if one.name == "watch")
        assert (state.is_dead, state.error, state.errors) == (True, "OSError", 1)


async def test_a_loop_that_ended_is_not_missed() -> None:
    clock, passed = ManualClock(), asyncio.Event()

    async def work() -> None:
        passed.set()

    task = asyncio.create_task(every(5, "short-lived", work, clock))
    await passed.wait()
    assert b'lazaret_loop_patience_seconds{loop="short-lived"} 60.0' in generate_latest(REGISTRY)
    await end_tasks(task)
    left = generate_latest(REGISTRY)
    assert b'lazaret_loop_patience_seconds{loop="short-lived"}' not in left
    assert b'lazaret_loop_errors_total{loop="short-lived"} 0.0' in left, "a counter stays"
