"""How the loops of this process do: when each last did its work, and how long it may be without.

Loops write here; metrics, `/readyz` and the table of processes read. Knows no loop by name.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lazaret.kernel.clock import Clock
from lazaret.kernel.metrics import LOOP_ERRORS, REGISTRY

PASSES_MISSED = 5
"""A loop that did not succeed for so many of its intervals is dead."""
LEAST_PATIENCE_S = 60.0
"""And not before this: a pass may wait for a slow machine."""
STEADY_S = 30.0
"""What is to run on and on and failed before is well again when it ran so long."""


def patience_of(interval_s: float) -> float:
    """How long a loop with this interval may be without success."""
    return max(LEAST_PATIENCE_S, PASSES_MISSED * interval_s)


@dataclass(eq=False)
class Pulse:
    """One loop. A lasting one (`lasting`) is well while its pass runs; any other when a pass ends well."""

    name: str
    clock: Clock
    patience_s: float
    lasting: bool = False
    errors: int = 0
    """Passes that failed since it began."""
    error: str = ""
    """Why the newest pass failed; empty when it did not."""
    _well_at: float = field(init=False)
    _began_at: float = field(init=False)
    _is_running: bool = False

    def __post_init__(self) -> None:
        self._well_at = self._began_at = self.clock.monotonic()

    def begins(self) -> None:
        """A pass begins."""
        self._began_at, self._is_running = self.clock.monotonic(), True

    def succeeded(self) -> None:
        """The pass did what it should."""
        self._well_at, self._is_running, self.error = self.clock.monotonic(), False, ""

    def failed(self, error: BaseException) -> None:
        """The pass failed, after whatever time."""
        self._well_at, self._is_running = self.clock.monotonic() - self.silent_s, False
        self.errors, self.error = self.errors + 1, type(error).__name__

    @property
    def silent_s(self) -> float:
        """Seconds since it was last well."""
        now = self.clock.monotonic()
        if self.lasting and self._is_running and (not self.error or now - self._began_at >= STEADY_S):
            return 0.0
        return now - self._well_at


@dataclass(frozen=True, slots=True)
class LoopState:
    """All loops of one name together: the one that does worst says how it is."""

    name: str
    silent_s: float
    patience_s: float
    errors: int
    error: str

    @property
    def is_dead(self) -> bool:
        return self.silent_s > self.patience_s


_PULSES: set[Pulse] = set()


@contextmanager
def beating(pulse: Pulse) -> Iterator[Pulse]:
    """The loop counts while the block runs; one that was ended is not missed."""
    LOOP_ERRORS.labels(loop=pulse.name)  # exists at zero from the start
    _PULSES.add(pulse)
    try:
        yield pulse
    finally:
        _PULSES.discard(pulse)


def loop_states() -> list[LoopState]:
    """The loops of this process, by name."""
    found: dict[str, LoopState] = {}
    for pulse in list(_PULSES):
        one = LoopState(pulse.name, pulse.silent_s, pulse.patience_s, pulse.errors, pulse.error)
        other = found.get(pulse.name)
        if other is not None:
            worst = max(one, other, key=lambda state: (state.silent_s - state.patience_s, state.error))
            one = LoopState(one.name, worst.silent_s, worst.patience_s, one.errors + other.errors, worst.error)
        found[one.name] = one
    return [found[name] for name in sorted(found)]


class LoopCollector(Collector):
    """The gauges of the loops, made when they are asked for: a loop that ended leaves no stale time behind."""

    def collect(self) -> Iterator[Metric]:
        last = GaugeMetricFamily(
            "lazaret_loop_last_success_timestamp_seconds",
            "When a loop was last well: a pass ended well, or what should run on and on ran.",
            labels=["loop"],
        )
        patience = GaugeMetricFamily(
            "lazaret_loop_patience_seconds", "A loop without success for longer than this is dead.", labels=["loop"]
        )
        now = time.time()
        for state in loop_states():
            last.add_metric([state.name], now - state.silent_s)
            patience.add_metric([state.name], state.patience_s)
        yield last
        yield patience


REGISTRY.register(LoopCollector())
