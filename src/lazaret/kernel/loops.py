"""Loops that must not die: each pass may fail and is counted, the next one comes all the same."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from lazaret.kernel.clock import Clock
from lazaret.kernel.database import is_away
from lazaret.kernel.logging import get_logger
from lazaret.kernel.metrics import LOOP_ERRORS, LOOP_LAST_SUCCESS

logger = get_logger(__name__)


async def every(interval_s: float, name: str, action: Callable[[], Awaitable[object]], clock: Clock) -> None:
    """Run `action` now and then again `interval_s` after each end, until cancelled."""
    while True:
        try:
            await action()
            LOOP_LAST_SUCCESS.labels(loop=name).set(time.time())
        except Exception as error:
            LOOP_ERRORS.labels(loop=name).inc()
            if is_away(error):  # a database that restarts is no fault of the loop
                logger.warning("loop.database_away", loop=name, error=type(error).__name__)
            else:
                logger.exception("loop.pass_failed", loop=name)
        end_if_cancelled()
        await clock.sleep(interval_s)


def end_if_cancelled() -> None:
    """Raise `CancelledError` where the running task was cancelled and somebody on the way lost it.

    Before Python 3.12 `asyncio.wait_for` may return a result instead of the cancellation that came at the same moment
    (https://github.com/python/cpython/issues/86296); libraries call it. A loop must then end all the same.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def restarting(name: str, action: Callable[[], Awaitable[object]], clock: Clock, *, pause_s: float = 1.0) -> None:
    """Run a long-lived `action` and start it again whenever it fails or returns, until cancelled."""
    await every(pause_s, name, action, clock)
