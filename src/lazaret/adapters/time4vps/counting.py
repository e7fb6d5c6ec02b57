"""What calls to the provider are called in the metrics, and how each ended: counted and logged.

Paths hold ids of servers: they stand in the log, and never in a metric.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lazaret.kernel.logging import get_logger
from lazaret.kernel.metrics import PROVIDER_CALL_DURATION, PROVIDER_CALLS
from lazaret.servers.provider import (
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderError,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
)

logger = get_logger(__name__)

ACTIONS = (
    "list_servers",
    "get_server",
    "list_os",
    "get_task",
    "reboot",
    "reset_password",
    "reinstall",
    "flush_firewall",
    "other",
)
OK, NO_BUDGET, FAILED = "ok", "no_budget", "failed"
OUTCOMES = (
    OK,
    NO_BUDGET,
    FAILED,
    *(
        kind.code.removeprefix("provider_")
        for kind in (
            ProviderUnavailable,
            ProviderThrottled,
            ProviderLoginRefused,
            ProviderAddressNotAllowed,
            ProviderRefused,
            ProviderBusy,
            ProviderTaskUnknown,
        )
    ),
)
_LAST = {
    "oses": "list_os",
    "reboot": "reboot",
    "resetpassword": "reset_password",
    "reinstall": "reinstall",
    "flushfirewall": "flush_firewall",
}


def action_of(method: str, path: str) -> str:
    """One of `ACTIONS`. Pure."""
    parts = path.strip("/").split("/")
    if method == "GET" and parts == ["server"]:
        return "list_servers"
    if method == "GET" and len(parts) == 2:
        return "get_server"
    if method == "GET" and len(parts) > 2 and parts[2] == "task":
        return "get_task"
    return _LAST.get(parts[-1], "other")


@contextmanager
def counted(action: str) -> Iterator[None]:
    """The block makes one call."""
    begun, outcome = time.monotonic(), FAILED
    try:
        yield
        outcome = OK
    except ProviderError as error:
        outcome = error.code.removeprefix("provider_")
        raise
    finally:
        PROVIDER_CALLS.labels(action=action, outcome=outcome).inc()
        PROVIDER_CALL_DURATION.labels(action=action).observe(time.monotonic() - begun)


@contextmanager
def noted(method: str, path: str) -> Iterator[None]:
    """The block makes one call, and the log has a line of it; reading ones are for who looks closely."""
    log = logger.debug if method == "GET" else logger.info
    try:
        yield
    except ProviderError as error:
        logger.info("provider.refused", method=method, path=path, code=error.code)
        raise
    log("provider.answered", method=method, path=path)
