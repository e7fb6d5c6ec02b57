"""Waiting for a task, on a clock that only moves when told: any run of failures, and always an end."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.adapters.time4vps.polling import poll_until_over
from lazaret.kernel.clock import ManualClock
from lazaret.servers.provider import (
    ProviderError,
    ProviderRefused,
    ProviderTask,
    ProviderTaskTimeout,
    ProviderThrottled,
    ProviderUnavailable,
)

RUNNING = ProviderTask("server_recreate")
OVER = ProviderTask("server_recreate", completed_at=datetime(2026, 1, 1, tzinfo=UTC))
TIMEOUT_S = 900.0

looks = st.one_of(
    st.just(RUNNING),
    st.builds(ProviderThrottled, st.just("slower"), wait_s=st.floats(1, 10_000)),
    st.sampled_from([ProviderUnavailable("cut"), ProviderRefused("no")]),
)


async def wait(seen: list[ProviderTask | ProviderError], clock: ManualClock, *, over_at_s: float, jitter: float) -> int:
    made = 0

    async def look(within_s: float) -> ProviderTask:
        nonlocal made
        assert 0 <= within_s <= TIMEOUT_S
        made += 1
        answer = OVER if clock.monotonic() >= over_at_s else seen[made % len(seen)]
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    await poll_until_over(look, clock, interval_s=15, timeout_s=TIMEOUT_S, what="It", pick=lambda: jitter)
    return made


@given(seen=st.lists(looks, min_size=1, max_size=20), over_at_s=st.floats(0, TIMEOUT_S), jitter=st.floats(0, 1))
async def test_a_task_that_ends_in_time_is_always_seen(seen, over_at_s, jitter):
    clock = ManualClock()
    made = await wait(seen, clock, over_at_s=over_at_s, jitter=jitter)
    assert over_at_s <= clock.monotonic() <= TIMEOUT_S + 1e-6
    assert made <= TIMEOUT_S / 15 + 2 or any(isinstance(answer, ProviderThrottled) for answer in seen)


@given(seen=st.lists(looks, min_size=1, max_size=20))
async def test_a_task_that_does_not_end_is_given_up_at_the_deadline(seen):
    clock = ManualClock()
    with pytest.raises(ProviderTaskTimeout):
        await wait(seen, clock, over_at_s=float("inf"), jitter=0)
    assert clock.monotonic() == pytest.approx(TIMEOUT_S)
