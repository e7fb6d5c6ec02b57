"""How much one person is told at once: what goes out by itself, what is told together, what may wait. Pure.

Nothing is ever dropped for being too much: beyond the limit messages are told together in one, a digest, which grows in
place. A critical message waits for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time

from lazaret.alerting.model import Level

BURST = 5
"""More messages than this that are due to one person at the same moment are told together."""


@dataclass(frozen=True, slots=True)
class Due:
    """One message that is owed to one person."""

    id: int
    level: Level
    owed_at: datetime


@dataclass(frozen=True, slots=True)
class Peace:
    """When a person wants to hear little. Critical messages pass all the same."""

    is_quiet: bool = False
    """Quiet hours: errors come without a sound, what matters less waits."""
    is_muted: bool = False
    """They asked for silence: everything waits."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What to do now for one person. Every message is in at most one place; what is in none waits."""

    alone: tuple[Due, ...] = ()
    """To be sent one by one, in this order."""
    together: tuple[Due, ...] = ()
    """To be told in the digest."""
    together_now: tuple[Due, ...] = ()
    """Critical, and too many to be told one by one: a new message with a sound that tells all of them."""


def plan_turn(due: Sequence[Due], *, sent_last_hour: int, limit: int, peace: Peace) -> Turn:
    """Split what is due; `sent_last_hour` counts messages sent by themselves, critical ones left out."""
    critical = _in_order([one for one in due if one.level is Level.CRITICAL])
    others = _in_order([one for one in due if one.level is not Level.CRITICAL and not _waits(one, peace)])
    room = max(0, limit - sent_last_hour)
    critical_fit, others_fit = len(critical) <= BURST, len(others) <= min(room, BURST)
    return Turn(
        alone=(critical if critical_fit else ()) + (others if others_fit else ()),
        together=() if others_fit else others,
        together_now=() if critical_fit else critical,
    )


def is_silent(level: Level, peace: Peace) -> bool:
    """Whether a message comes without a sound."""
    return level is Level.INFO or (peace.is_quiet and level is not Level.CRITICAL)


def is_within(moment: time, start: time, end: time) -> bool:
    """Whether a time of day lies in a span that may go over midnight; the end is outside."""
    if start <= end:
        return start <= moment < end
    return moment >= start or moment < end


def _waits(one: Due, peace: Peace) -> bool:
    return peace.is_muted or (peace.is_quiet and one.level is not Level.ERROR)


def _in_order(found: Sequence[Due]) -> tuple[Due, ...]:
    return tuple(sorted(found, key=lambda one: (one.owed_at, one.id)))
