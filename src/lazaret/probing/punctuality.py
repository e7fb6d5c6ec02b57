"""Whether this process gets the time that it needs: whoever answers in time looks late to one who listens late."""

from lazaret.kernel.clock import Clock

LATE_S = 1.0
"""A timer that comes so much too late: half of what a fresh look is given."""
REMEMBERED_S = 10.0
"""So long what was seen meanwhile may still be judged."""


class Punctuality:
    """Measured by a timer that is set for a time and says when it came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: float | None = None
        self._late_until = float("-inf")

    def set(self, in_s: float) -> None:
        """The timer is to come in so many seconds."""
        self._due = self._clock.monotonic() + in_s

    def came(self) -> None:
        """It came just now."""
        now = self._clock.monotonic()
        if self._due is not None and now - self._due > LATE_S:
            self._late_until = now + REMEMBERED_S
        self._due = None

    @property
    def is_late(self) -> bool:
        """Whether a timer came late a moment ago."""
        return self._clock.monotonic() < self._late_until
