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
READINGS = Counter("lazaret_readings_total", "Readings that came in by stream.", registry=REGISTRY)
STREAMS = Gauge("lazaret_streams", "Servers whose stream is open.", registry=REGISTRY)
VERDICTS = Counter(
    "lazaret_verdicts_total", "Verdicts that changed, by what they became.", ["phase"], registry=REGISTRY
)
HEALTH_CHECK_FAILURES = Counter(
    "server_health_check_failures_total",
    "Confirmed failures of a server, by condition.",
    ["condition"],
    registry=REGISTRY,
)
INCIDENTS = Counter("incidents_total", "Incidents opened, by type.", ["type"], registry=REGISTRY)
DETECTION = Histogram(
    "lazaret_detection_seconds",
    "Time from the first sign of an incident to its confirmation.",
    buckets=(1, 2, 5, 10, 15, 20, 30, 60, 120),
    registry=REGISTRY,
)
RECOVERY = Histogram(
    "lazaret_recovery_seconds",
    "Time from the confirmation of an incident to its proved end.",
    buckets=(5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
    registry=REGISTRY,
)
