"""Quiet hours: a span of the day, in a time zone."""

import re
from dataclasses import dataclass
from datetime import time
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end`, which may lie on the next day."""

    start: time
    end: time
    zone: ZoneInfo


def quiet_hours(span: str, zone: str) -> QuietHours | None:
    """`23:00-07:00` in a zone like `Europe/Vilnius`; an empty span is none. Raises `ValueError`."""
    if not span.strip():
        return None
    found = re.fullmatch(r"\s*(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})\s*", span)
    if found is None:
        raise ValueError("quiet hours are written HH:MM-HH:MM")
    start, end = (time.fromisoformat(part.zfill(5)) for part in found.groups())
    return QuietHours(start, end, ZoneInfo(zone))
