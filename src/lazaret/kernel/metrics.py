"""The metrics of this process. Names of the plan are as the plan writes them; our own begin with `lazaret_`.

Labels hold words of the code, never a name of the fleet: they are few, and `/metrics` may be read by anybody. What
the database knows is not counted here but read from it, once for all processes: see `entrypoints/fleet_facts.py`.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

disable_created_metrics()  # type: ignore[no-untyped-call] # a time beside every series, which nobody asks for
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
LOOP_ERRORS = Counter("lazaret_loop_errors_total", "Passes of a loop that failed.", ["loop"], registry=REGISTRY)
LOOP_LAG = Histogram(
    "lazaret_loop_lag_seconds",
    "How much later than planned a pass of a loop began: the process was busy.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
PROCESS = Gauge(
    "lazaret_process_info", "1; which version runs here, and as what.", ["kind", "version"], registry=REGISTRY
)
READINGS = Counter("lazaret_readings_total", "Readings that came in by stream.", registry=REGISTRY)
STREAMS = Gauge("lazaret_streams", "Servers whose stream is open.", registry=REGISTRY)
WATCHED = Gauge("lazaret_watched_servers", "Servers that this monitor watches.", registry=REGISTRY)
READING_LAG = Histogram(
    "lazaret_reading_lag_seconds",
    "How much later than its heartbeat a reading came.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
    registry=REGISTRY,
)
BLIND = Gauge("lazaret_monitor_blind", "1 while this monitor cannot see, and so judges nothing.", registry=REGISTRY)
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
REMEDIES = Counter(
    "lazaret_remedies_total", "Remedies that ended, by what became of them.", ["remedy", "outcome"], registry=REGISTRY
)
PROVIDER_CALLS = Counter(
    "lazaret_provider_calls_total",
    "Calls to the provider, by how they ended. `no_budget`: not made, the account has no call left.",
    ["action", "outcome"],
    registry=REGISTRY,
)
PROVIDER_CALL_DURATION = Histogram(
    "lazaret_provider_call_seconds",
    "How long the provider took to answer.",
    ["action"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
    registry=REGISTRY,
)
MESSAGES = Counter(
    "lazaret_messages_total", "Messages to people, by what became of each try.", ["end"], registry=REGISTRY
)
