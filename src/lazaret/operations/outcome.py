"""What a step says when it returns. Expected situations are outcomes; exceptions are for what nobody expected."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lazaret.kernel.errors import LazaretError

HELD_BACK = "room"
"""What an operation waits for that is held back."""


@dataclass(frozen=True, slots=True)
class Advance:
    """The step's effect was seen; go on. `detail` is one sentence for the log, `to` overrides the next step."""

    detail: str = ""
    to: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A person must do or decide something; the operation sleeps until they did, or until `until`.

    `asks_for` names what is wanted (`root_password`, `approval`); `why` is the sentence that the person reads.
    """

    why: str
    asks_for: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """It did not work now and may later. Uses up one of the operation's attempts."""

    error: LazaretError
    after_s: float | None = None
    """Seconds to wait; None leaves it to the backoff."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It will not work without a change by a person."""

    error: LazaretError


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""

    detail: str = ""
    result: dict[str, Any] = field(default_factory=dict)


Outcome = Advance | Wait | Retry | GiveUp | Done
