"""Logging: structured lines on standard error, with every secret that the process knows taken out."""

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

import structlog

from lazaret.kernel.database import is_away
from lazaret.kernel.secrets import Redactor

_NOISY = (
    "httpx",
    "httpcore",
    "asyncssh",
    "procrastinate",
    "langgraph",
    "uvicorn.access",
    "uvicorn.error",
    "alembic",
    "mcp",
)


_configured = "warning"


class Level(StrEnum):
    """Least level that is logged."""

    DEBUG = "debug"
    """Also what is looked at and read."""
    INFO = "info"
    """What is done."""
    WARNING = "warning"
    """What went wrong and is dealt with."""
    ERROR = "error"
    """What needs somebody."""


def configure_logging(*, level: str, log_format: str, redactor: Redactor) -> None:
    """Send the standard library's logging and structlog through one chain to standard error."""

    def redact(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: value if key.startswith("_") else redactor.clean_value(value) for key, value in event.items()}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    handler.addFilter(_short_when_away)
    logging.getLogger().handlers[:] = [handler]
    global _configured  # noqa: PLW0603 - logging is one for the process
    _configured = level
    change_level(None)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def change_level(level: str | None) -> str:
    """Log from this level on, or, with None, from the one that was configured; returns which that is."""
    root = logging.getLogger()
    root.setLevel((level or _configured).upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    return level or _configured


def _short_when_away(record: logging.LogRecord) -> bool:
    """A database that restarts makes many parts fail at once, the libraries' too: one line each, no traceback.

    The queue's own errors are told as shortly: they are about its bookkeeping, and the tables do without it.
    """
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and (is_away(error) or type(error).__module__.startswith("procrastinate")):
        record.exc_info = None
    return True


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; call it with an event name and keyword values."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
