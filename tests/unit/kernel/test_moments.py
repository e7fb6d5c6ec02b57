"""No moment gets in that cannot be read back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.kernel.database import Moment
from lazaret.kernel.errors import InvalidInput
from lazaret.kernel.moments import FIRST, LAST, after, moment_of

ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=ZONES)


@given(MOMENTS)
def test_every_moment_is_taken_in_utc_or_refused(value: datetime) -> None:
    try:
        taken = moment_of(value, "The end")
    except InvalidInput:
        return
    assert FIRST <= taken <= LAST and taken == value and taken.tzinfo is UTC


@given(MOMENTS, st.timedeltas())
def test_no_span_leads_out_of_time(at: datetime, span: timedelta) -> None:
    try:
        assert FIRST <= after(at, span, "The end") <= LAST
    except InvalidInput:
        return


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"])
def test_what_has_no_year_in_utc_reaches_no_table(text: str) -> None:
    with pytest.raises(OverflowError):
        Moment().process_bind_param(datetime.fromisoformat(text), None)  # type: ignore[arg-type]
