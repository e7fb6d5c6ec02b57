"""Loops that must not die, and tasks that must end.

Before Python 3.12 `asyncio.wait_for` may return a result instead of the cancellation that came at the same moment
(https://github.com/python/cpython/issues/86296), and libraries call it: one `cancel()` may be lost. So every pass of
a loop is a task of its own, and what is to end is cancelled until it has ended.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import is_away
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loop_health import LEAST_PATIENCE_S, Pulse, beating, patience_of
from lazaret.kernel.metrics import LOOP_ERRORS, LOOP_LAG

logger = get_logger(__name__)

GRACE_S = 12.0
"""What was cancelled and goes on is cancelled again after this; an orderly end must fit into it."""


async def every(
    interval_s: float,
    name: str,
    action: Callable[[], Awaitable[object]],
    clock: Clock,
    *,
    patience_s: float | None = None,
) -> None:
    """Run `action` now and then again `interval_s` after each end, until cancelled. A pass that fails is counted.

    Without success for longer than `patience_s` the loop is dead, which is told. Left out: several intervals.
    """
    with beating(Pulse(name, clock, patience_s or patience_of(interval_s))) as pulse:
        await _again_and_again(interval_s, pulse, action)


async def restarting(name: str, action: Callable[[], Awaitable[object]], clock: Clock, *, pause_s: float = 1.0) -> None:
    """Run a long-lived `action` and start it again whenever it fails or returns, until cancelled."""
    with beating(Pulse(name, clock, max(LEAST_PATIENCE_S, 5 * pause_s), lasting=True)) as pulse:
        await _again_and_again(pause_s, pulse, action)


async def _again_and_again(pause_s: float, pulse: Pulse, action: Callable[[], Awaitable[object]]) -> None:
    while True:
        pulse.begins()
        try:
            await _apart(action)
            pulse.succeeded()
        except Exception as error:
            pulse.failed(error)
            LOOP_ERRORS.labels(loop=pulse.name).inc()
            if is_away(error):  # a database that restarts is no fault of the loop
                logger.warning("loop.database_away", loop=pulse.name, error=type(error).__name__)
            else:
                logger.exception("loop.pass_failed", loop=pulse.name)
        due = pulse.clock.monotonic() + pause_s
        await pulse.clock.sleep(pause_s)
        LOOP_LAG.observe(max(0.0, pulse.clock.monotonic() - due))


async def end_tasks(*tasks: "asyncio.Task[Any]", grace_s: float = GRACE_S) -> None:
    """Cancel these and return when all have ended; how they ended is not told."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=grace_s)
    await asyncio.gather(*tasks, return_exceptions=True)  # whatever they raised was looked at


async def _apart(action: Callable[[], Awaitable[object]]) -> None:
    async def run() -> object:
        return await action()

    task = asyncio.create_task(run())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await end_tasks(task)
        raise
