"""Moments that people name: brought to UTC, and kept within what every part of Lazaret can read back.

PostgreSQL stores years that Python cannot represent, so a moment that nobody can read again must not get in.
"""

from datetime import UTC, datetime, timedelta

from lazaret.kernel.errors import InvalidInput

FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 12, 31, tzinfo=UTC)
"""What may be planned, in UTC."""
_HINT = "Write a moment between the years 2000 and 2999, such as 2027-03-01T04:00Z."


def moment_of(value: datetime, name: str) -> datetime:
    """An aware `value` in UTC. Raises `InvalidInput`, which calls it `name`."""
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(f"{name} lies out of all time.", hint=_HINT) from None
    if not FIRST <= moment <= LAST:
        raise InvalidInput(f"{name} lies out of all time.", hint=_HINT)
    return moment


def after(at: datetime, span: timedelta, name: str) -> datetime:
    """The moment `span`, not negative, after `at`, in UTC. Raises `InvalidInput`."""
    try:
        return moment_of(at + span, name)
    except OverflowError:
        raise InvalidInput(f"{name} is too late.", hint=_HINT) from None
