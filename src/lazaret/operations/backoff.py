"""How long to wait before the next attempt: doubling, capped, with jitter. Pure but for the dice."""

import random

FIRST_S = 5.0
LONGEST_S = 300.0


def backoff_s(attempt: int, dice: random.Random | None = None) -> float:
    """Seconds before attempt `attempt + 1`: 5, 10, 20 ... at most 300, each between half and all of it."""
    ceiling: float = min(LONGEST_S, FIRST_S * 2.0 ** min(max(0, attempt - 1), 30))
    return (dice or random).uniform(ceiling / 2, ceiling)
