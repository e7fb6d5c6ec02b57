"""Correlation: what stands in every log line that was written for one request or piece of work.

A request has an id; the operation that it asks for carries it on, and whoever works on that operation writes it too.
Times and names are not enough: several requests ask for the same at once.
"""

import re
import secrets
from contextlib import AbstractContextManager
from typing import Any

from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars

REQUEST_ID = "request_id"
"""Its name in log lines, in the audit log, in the parameters of an operation and in problem details."""
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")


def new_request_id(origin: str = "") -> str:
    """An id that nobody else has; `origin` says by which way the request came."""
    return f"{origin}-{secrets.token_hex(8)}" if origin else secrets.token_hex(8)


def accepted(given: str) -> str | None:
    """The id that a caller gave, if it is one: 8 to 64 letters, digits and `._:-`. Anything else is not repeated."""
    return given if _WELL_FORMED.fullmatch(given) else None


def request_id() -> str:
    """The id of the request for which this runs; empty where there is none."""
    return str(get_contextvars().get(REQUEST_ID, ""))


def carried() -> dict[str, str]:
    """What a piece of work takes with it from the request that asked for it."""
    found = request_id()
    return {REQUEST_ID: found} if found else {}


def bound(**ids: Any) -> AbstractContextManager[None]:
    """Log lines of the block, and of tasks begun in it, have these values; empty ones are left out."""
    return bound_contextvars(**{name: value for name, value in ids.items() if value})


def bind(**ids: Any) -> None:
    """The same for the rest of this task."""
    bind_contextvars(**ids)
