"""A playbook that takes no time: it sets the baseline, or fails as it was told to."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import PlaybookResult, TaskEvent, TaskState
from tests.fakes.fuse import Fuse
from tests.fakes.machine import Machine

TASKS = ("install packages", "configure sshd", "write the baseline")


class FakeConfiguration:
    """Fulfils `ConfigurationRunner`. `results` are handed out first; `forgets` leaves effects out of a good run."""

    def __init__(self, *machines: Machine, fuse: Fuse | None = None) -> None:
        self._machines = {machine.address: machine for machine in machines}
        self.fuse = fuse or Fuse()
        self.runs: list[Mapping[str, Any]] = []
        self.results: list[PlaybookResult | Exception] = []
        self.leaves_passwords: list[bool] = []

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
        self.fuse.tick("before the playbook")
        self.runs.append(variables)
        for position, task in enumerate(TASKS, start=1):
            at = datetime(2026, 1, 1, tzinfo=UTC)
            await on_event(TaskEvent(at, task, TaskState.CHANGED, position=position, total=len(TASKS)))
        if self.results:
            result = self.results.pop(0)
            if isinstance(result, Exception):
                raise result
            return result
        machine = self._machines[endpoint.address]
        changed = int(machine.baseline != variables["baseline_version"])
        machine.baseline = variables["baseline_version"]
        machine.accepts_passwords = self.leaves_passwords.pop(0) if self.leaves_passwords else False
        self.fuse.tick("after the playbook")
        return PlaybookResult(True, changed=3 * changed, duration_s=12.0, report={"docker": "27"})
