"""Errors as data: a program that reads them can go on."""

from typing import Any

from lazaret.kernel.errors import LazaretError


def data_of(error: LazaretError) -> dict[str, Any]:
    """Code, sentence, what to do, and whether the same call may succeed later."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
