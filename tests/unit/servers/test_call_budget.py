"""The token bucket: how many calls, for whom, and what clocks that differ do to it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.servers.call_budget import Bucket, Rate, draw

START = datetime(2026, 1, 1, tzinfo=UTC)
RATE = Rate(burst=10, per_s=0.5, reserve=3)


@given(st.lists(st.tuples(st.floats(0, 120), st.booleans()), max_size=200))
def test_never_more_calls_than_the_rate_allows(asked):
    bucket, now, given_calls = Bucket(RATE.burst, START), START, 0
    for pause_s, urgent in asked:
        now += timedelta(seconds=pause_s)
        bucket, wait_s = draw(bucket, RATE, now, urgent=urgent)
        given_calls += not wait_s
        assert wait_s >= 0
        assert 0 <= bucket.tokens <= RATE.burst
        assert given_calls <= RATE.burst + RATE.per_s * (now - START).total_seconds() + 1e-6


@given(st.floats(0, 10), st.booleans())
def test_who_waits_as_told_gets_a_call(tokens, urgent):
    bucket, wait_s = draw(Bucket(tokens, START), RATE, START, urgent=urgent)
    if wait_s:
        bucket, wait_s = draw(bucket, RATE, START + timedelta(seconds=wait_s, microseconds=1), urgent=urgent)
    assert wait_s == 0


def test_the_reserve_is_for_urgent_calls():
    bucket = Bucket(RATE.reserve, START)
    assert draw(bucket, RATE, START, urgent=False)[1] == pytest.approx(2)
    assert draw(bucket, RATE, START, urgent=True)[1] == 0


def test_a_block_holds_for_urgent_calls_too_and_ends():
    bucket = Bucket(10, START, blocked_until=START + timedelta(seconds=24))
    bucket, wait_s = draw(bucket, RATE, START + timedelta(seconds=4), urgent=True)
    assert wait_s == pytest.approx(20)
    bucket, wait_s = draw(bucket, RATE, START + timedelta(seconds=24), urgent=True)
    assert (wait_s, bucket.blocked_until) == (0, None)


def test_two_machines_whose_clocks_differ_do_not_fill_the_bucket():
    bucket, calls = Bucket(0, START), 0
    for second in range(0, 100, 2):
        now = START + timedelta(seconds=second)
        for skewed in (now, now + timedelta(seconds=10)):
            bucket, wait_s = draw(bucket, RATE, skewed, urgent=True)
            calls += not wait_s
    assert calls <= (98 + 10) * RATE.per_s


def test_a_clock_that_was_far_ahead_does_not_starve_the_others():
    bucket = Bucket(0, START + timedelta(days=365))
    bucket, _ = draw(bucket, RATE, START, urgent=True)
    assert draw(bucket, RATE, START + timedelta(seconds=2), urgent=True)[1] == 0


@pytest.mark.parametrize("calls", [1, 5, 30, 600])
def test_rates_by_the_minute_let_everybody_through(calls):
    rate = Rate.per_minute(calls)
    assert rate.reserve + 1 <= rate.burst
    assert rate.per_s * 60 == pytest.approx(calls)
