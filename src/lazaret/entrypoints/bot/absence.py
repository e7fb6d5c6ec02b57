"""Telegram that does not answer: tried again after growing pauses, with a line in the log only when it is news."""

from dataclasses import dataclass

from lazaret.kernel.clock import Clock
from lazaret.kernel.logging import get_logger

logger = get_logger(__name__)

LONGEST_PAUSE_S = 15.0
FORGIVEN_AFTER_S = 120.0
"""Failures that are so far apart have nothing to do with each other."""


@dataclass
class Absence:
    """How long one part of the bot has been without Telegram."""

    part: str
    clock: Clock
    failures: int = 0
    _last_s: float = 0.0

    def note(self, error: BaseException) -> float:
        """One more try failed; returns the pause before the next. The 1st, 2nd, 4th, 8th failure and so on is told."""
        now_s = self.clock.monotonic()
        if now_s - self._last_s > FORGIVEN_AFTER_S:
            self.failures = 0
        self._last_s = now_s
        self.failures += 1
        pause_s = min(LONGEST_PAUSE_S, 2.0 ** (self.failures - 1))
        if self.failures & (self.failures - 1) == 0:
            logger.warning(
                "bot.telegram_away", part=self.part, error=type(error).__name__, failures=self.failures, pause_s=pause_s
            )
        return pause_s

    def ends(self) -> None:
        """It answers."""
        if self.failures:
            logger.info("bot.telegram_back", part=self.part, failures=self.failures)
        self.failures = 0
