"""How a machine is brought to a described state: running a playbook, as a Protocol.

Owns the words; `adapters/ansible` fulfils it for real hosts and `lab` for simulated ones.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from lazaret.kernel.errors import Category, LazaretError
from lazaret.servers.access import SshEndpoint


class TaskState(StrEnum):
    """What became of one task of a playbook."""

    STARTED = "started"
    """It runs now."""
    OK = "ok"
    """Already as described."""
    CHANGED = "changed"
    """Brought to the described state."""
    SKIPPED = "skipped"
    """Does not apply to this host."""
    FAILED = "failed"
    """Could not be done."""
    UNREACHABLE = "unreachable"
    """The connection to the host failed."""
    WAITING = "waiting"
    """An asynchronous task is not over yet; `message` says on what."""


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One line of a run's log. `message` is redacted and short; `position` of `total` feeds the progress bar."""

    at: datetime
    task: str
    state: TaskState
    message: str = ""
    position: int = 0
    total: int = 0
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class PlaybookResult:
    """How a run ended. `report` is what the playbook itself handed back (its structured result), plain JSON."""

    ok: bool
    changed: int
    """Number of tasks that changed something; 0 on an idempotent second run."""
    duration_s: float
    failed_task: str = ""
    error: str = ""
    unreachable: bool = False
    report: Mapping[str, Any] = field(default_factory=dict)


class PlaybookNotFound(LazaretError):
    """There is no playbook of that name."""

    code = "playbook_not_found"
    category = Category.NOT_FOUND


class PlaybookTimeout(LazaretError):
    """The run did not end in time and was stopped. What is done is done; running it again is safe."""

    code = "playbook_timeout"
    category = Category.UNAVAILABLE
    retryable = True


class ConfigurationRunner(Protocol):
    """Runs playbooks by name (`provision_server`, `health_check`, `deploy_service`) against one host."""

    async def run(
        self,
        playbook: str,
        endpoint: SshEndpoint,
        *,
        host_keys: Sequence[str],
        private_key: Path,
        variables: Mapping[str, Any],
        on_event: Callable[[TaskEvent], Awaitable[None]],
        timeout_s: float,
    ) -> PlaybookResult:
        """Run to the end. A failed task is a result with `ok` false, not an error.

        Cancelling the call stops the run and every process of it. Raises `PlaybookNotFound`, `PlaybookTimeout`.
        """
        ...
