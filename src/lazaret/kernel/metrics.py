"""The metrics of this process. Names of the plan are as the plan writes them; our own begin with `lazaret_`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

PROVISIONING_DURATION = Histogram(
    "server_provisioning_duration_seconds",
    "Time from the first attempt of an operation to its success.",
    ["kind"],
    buckets=(5, 10, 15, 20, 30, 45, 60, 90, 120, 300, 600, 1200),
    registry=REGISTRY,
)
PROVISIONING_ATTEMPTS = Counter(
    "server_provisioning_attempts_total",
    "Attempts of operations, by how they ended.",
    ["kind", "end"],
    registry=REGISTRY,
)
LOOP_LAST_SUCCESS = Gauge(
    "lazaret_loop_last_success_timestamp_seconds", "When a loop last did its work.", ["loop"], registry=REGISTRY
)
LOOP_ERRORS = Counter("lazaret_loop_errors_total", "Passes of a loop that failed.", ["loop"], registry=REGISTRY)
