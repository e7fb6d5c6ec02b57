"""The two clocks, and loops that live on one of them."""

import asyncio
import contextlib
from datetime import timedelta

import pytest

from lazaret.kernel.clock import ManualClock, SystemClock
from lazaret.kernel.loops import end_tasks, every, restarting


async def test_sleeping_moves_a_manual_clock() -> None:
    clock = ManualClock()
    began = clock.now()
    await clock.sleep(90)
    await clock.sleep(-5)
    assert (clock.now() - began, clock.monotonic(), clock.slept_s) == (timedelta(seconds=90), 90, [90, -5])


async def test_the_system_clock_is_aware_and_does_not_sleep_backwards() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    before = clock.monotonic()
    await clock.sleep(-1)
    assert clock.monotonic() >= before


class EnoughError(BaseException):
    """Ends a loop that otherwise never ends."""


@pytest.mark.parametrize("loop", ["every", "restarting"])
async def test_a_loop_outlives_its_failures(loop: str) -> None:
    clock = ManualClock()
    passes: list[float] = []

    async def work() -> None:
        passes.append(clock.monotonic())
        if len(passes) == 4:
            raise EnoughError
        if len(passes) % 2:
            raise ValueError("this pass failed")

    with pytest.raises(EnoughError):
        if loop == "every":
            await every(30, "test", work, clock)
        else:
            await restarting("test", work, clock, pause_s=30)
    assert passes == [0, 30, 60, 90]


async def test_a_loop_can_be_cancelled() -> None:
    clock = ManualClock()
    running = asyncio.create_task(every(30, "test", lambda: clock.sleep(0), clock))
    while clock.monotonic() < 300:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_task_ends_although_a_library_lost_its_cancellation() -> None:
    begun = asyncio.Event()

    async def loses_the_first() -> None:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(loses_the_first())
    await begun.wait()
    await asyncio.wait_for(end_tasks(task, grace_s=0.01), 5)
    assert task.cancelled()


@pytest.mark.parametrize("fails", [True, False])
async def test_a_loop_goes_on_after_a_group_of_tasks_and_ends_when_cancelled(fails: bool) -> None:
    """Before Python 3.12 a failed group of tasks leaves its parent marked as cancelled."""
    clock = ManualClock()
    passes: list[float] = []

    async def work() -> None:
        passes.append(clock.monotonic())
        async with asyncio.TaskGroup() as group:
            group.create_task(_fail() if fails else asyncio.sleep(0))

    running = asyncio.create_task(every(30, "test", work, clock))
    while len(passes) < 5:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)


async def _fail() -> None:
    raise ValueError("this one failed")
