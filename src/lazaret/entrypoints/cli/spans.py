"""Lengths of time as people type them."""

import re
from datetime import timedelta

from lazaret.kernel.errors import InvalidInput

LONGEST = timedelta(days=3650)
"""As the longest token; what is longer is a slip of the finger."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def span_of(text: str) -> timedelta:
    """`30m`, `4h`, `2d`. Raises `InvalidInput`."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if found is None or int(found[1]) == 0:
        raise InvalidInput(f"{text[:20]!r} is no length of time.", hint="Write for example 30m, 4h or 2d.")
    span = timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    if span > LONGEST:
        raise InvalidInput(
            f"{text[:20]!r} is longer than {LONGEST.days} days.", hint="Write for example 30m, 4h or 2d."
        )
    return span
