"""Looking at a task again and again until it is over. Knows nothing of HTTP.

What goes wrong with one look says nothing about the task, so it delays the waiting and never ends it.
"""

import random
from collections.abc import Awaitable, Callable

from lazaret.kernel.clock import Clock
from lazaret.servers.provider import (
    ProviderAddressNotAllowed,
    ProviderError,
    ProviderLoginRefused,
    ProviderTask,
    ProviderTaskTimeout,
    ProviderThrottled,
)

Look = Callable[[float], Awaitable[ProviderTask]]
"""One look at the task, which may wait so many seconds for its turn and else raises `ProviderThrottled`."""


async def poll_until_over(
    look: Look,
    clock: Clock,
    *,
    interval_s: float,
    timeout_s: float,
    what: str,
    pick: Callable[[], float] = random.random,
) -> ProviderTask:
    """The finished task. A throttled look waits as long as the provider says, but not beyond `timeout_s`.

    Raises `ProviderTaskTimeout`, and at once what no waiting mends: a refused login or address. `pick` gives the
    jitter, from 0 to 1.
    """
    deadline = clock.monotonic() + timeout_s
    while True:
        wait_s = interval_s * (1 + 0.3 * pick())
        try:
            task = await look(max(0.0, deadline - clock.monotonic()))
            if task.is_over:
                return task
        except (ProviderLoginRefused, ProviderAddressNotAllowed):
            raise
        except ProviderThrottled as throttled:
            wait_s = throttled.wait_s
        except ProviderError:
            pass
        left_s = deadline - clock.monotonic()
        if left_s <= 0:
            raise ProviderTaskTimeout(
                f"{what} is not over after {timeout_s:.0f} s.",
                hint="It may still end; it is looked at again before anything else is done.",
            )
        await clock.sleep(min(wait_s, left_s))
