"""Small charts of a server's readings, as points for SVG. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 240.0, 48.0


@dataclass(frozen=True, slots=True)
class Chart:
    """One line; a gap in the series is a gap in the line."""

    title: str
    now: str
    lines: tuple[str, ...]
    """`points` of one polyline each."""
    lowest: str
    highest: str


def chart(
    title: str,
    unit: str,
    series: Sequence[tuple[datetime, float]],
    *,
    since: datetime,
    until: datetime,
    gap_s: float = 180.0,
    top: float | None = None,
) -> Chart | None:
    """A chart from `since` to `until`; None without a point. `top`: where the axis ends."""
    points = [(at, value) for at, value in series if since <= at <= until]
    if not points:
        return None
    values = [value for _, value in points]
    ceiling = top if top is not None else max(max(values) * 1.1, 0.001)
    span_s = max(1.0, (until - since).total_seconds())
    runs: list[list[str]] = [[]]
    before: datetime | None = None
    for at, value in points:
        if before is not None and (at - before).total_seconds() > gap_s:
            runs.append([])
        x = (at - since).total_seconds() / span_s * WIDTH
        y = HEIGHT - min(value, ceiling) / ceiling * (HEIGHT - 4) - 2
        runs[-1].append(f"{x:.1f},{y:.1f}")
        before = at
    return Chart(
        title=title,
        now=f"{_shown(values[-1])}{unit}",
        lines=tuple(" ".join(run) for run in runs),
        lowest=f"{_shown(min(values))}{unit}",
        highest=f"{_shown(max(values))}{unit}",
    )


def _shown(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
