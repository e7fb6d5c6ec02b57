"""The one tree of errors.

Each error has a code (stable, for programs), a category (the edges map it to an HTTP status and an exit code),
whether the same call may succeed later, and a hint that tells the operator what to do.

    LazaretError
    ├── InvalidInput        what was asked cannot be understood or is out of range
    ├── NotFound            the thing named does not exist
    ├── Conflict            the thing exists, but its state forbids this now
    ├── Unauthenticated     nobody knows who asks
    ├── Forbidden           it is known who asks, and they may not
    ├── Limited             too many calls; try again later
    ├── Unavailable         a part that we need does not answer; try again later
    └── Misconfigured       a setting is missing or wrong
"""

from enum import StrEnum
from typing import Any, ClassVar


class Category(StrEnum):
    """How an edge (HTTP, CLI, chat) presents an error."""

    INVALID = "invalid"
    """The request is wrong: HTTP 422, exit code 2."""
    NOT_FOUND = "not_found"
    """The named thing does not exist: HTTP 404, exit code 2."""
    CONFLICT = "conflict"
    """The state forbids it now: HTTP 409, exit code 1."""
    UNAUTHENTICATED = "unauthenticated"
    """No or wrong credentials: HTTP 401, exit code 2."""
    FORBIDDEN = "forbidden"
    """Known, but not allowed: HTTP 403, exit code 1."""
    LIMITED = "limited"
    """Too many calls: HTTP 429, exit code 1."""
    UNAVAILABLE = "unavailable"
    """A part that we need does not answer: HTTP 503, exit code 1."""
    INTERNAL = "internal"
    """Our fault: HTTP 500, exit code 1."""


class LazaretError(Exception):
    """Something went wrong in a way that we can name.

    `message` is one sentence for a person; `hint` says what to do about it; `details` are plain JSON values and
    must never hold a secret.
    """

    code: ClassVar[str] = "internal_error"
    category: ClassVar[Category] = Category.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidInput(LazaretError):
    """What was asked cannot be understood or is out of range."""

    code = "invalid_input"
    category = Category.INVALID


class NotFound(LazaretError):
    """The thing named does not exist."""

    code = "not_found"
    category = Category.NOT_FOUND


class Conflict(LazaretError):
    """The thing exists, but its state forbids this now."""

    code = "conflict"
    category = Category.CONFLICT


class Unauthenticated(LazaretError):
    """Nobody knows who asks."""

    code = "unauthenticated"
    category = Category.UNAUTHENTICATED


class Forbidden(LazaretError):
    """It is known who asks, and they may not."""

    code = "forbidden"
    category = Category.FORBIDDEN


class Limited(LazaretError):
    """Too many calls; try again later."""

    code = "limited"
    category = Category.LIMITED
    retryable = True


class Unavailable(LazaretError):
    """A part that we need does not answer; try again later."""

    code = "unavailable"
    category = Category.UNAVAILABLE
    retryable = True


class Misconfigured(LazaretError):
    """A setting is missing or wrong."""

    code = "misconfigured"
    category = Category.INVALID
