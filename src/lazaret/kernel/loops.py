"""Loops that must not die, and tasks that must end.

Before Python 3.12 `asyncio.wait_for` may return a result instead of the cancellation that came at the same moment
(https://github.com/python/cpython/issues/86296), and libraries call it: one `cancel()` may be lost. So every pass of
a loop is a task of its own, and what is to end is cancelled until it has ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import is_away
from lazaret.kernel.logging import get_logger
from lazaret.kernel.metrics import LOOP_ERRORS, LOOP_LAST_SUCCESS

logger = get_logger(__name__)

GRACE_S = 12.0
"""What was cancelled and goes on is cancelled again after this; an orderly end must fit into it."""


async def every(interval_s: float, name: str, action: Callable[[], Awaitable[object]], clock: Clock) -> None:
    """Run `action` now and then again `interval_s` after each end, until cancelled. A pass that fails is counted."""
    while True:
        try:
            await _apart(action)
            LOOP_LAST_SUCCESS.labels(loop=name).set(time.time())
        except Exception as error:
            LOOP_ERRORS.labels(loop=name).inc()
            if is_away(error):  # a database that restarts is no fault of the loop
                logger.warning("loop.database_away", loop=name, error=type(error).__name__)
            else:
                logger.exception("loop.pass_failed", loop=name)
        await clock.sleep(interval_s)


async def restarting(name: str, action: Callable[[], Awaitable[object]], clock: Clock, *, pause_s: float = 1.0) -> None:
    """Run a long-lived `action` and start it again whenever it fails or returns, until cancelled."""
    await every(pause_s, name, action, clock)


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
