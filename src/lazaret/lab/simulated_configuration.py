"""Playbooks on simulated hosts: a `ConfigurationRunner` that logs in for real and plays the tasks one by one.

Each task is one remote command, so a host that dies in the middle is unreachable, and a second run changes nothing.
Knows hosts by SSH alone: it works in another process than the lab's.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh

from lazaret.deployments.spec import check_compose
from lazaret.kernel.clock import Clock, SystemClock
from lazaret.lab.simulated_commands import PLAYBOOK_REPORT, PLAYBOOK_TASK, SERVICE, WRITE_FILE
from lazaret.lab.simulated_services import SimulatedService
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import PlaybookNotFound, PlaybookResult, PlaybookTimeout, TaskEvent, TaskState

BASELINE_FILE = "/etc/lazaret/baseline"
PLAYBOOKS: Mapping[str, Sequence[str]] = {
    "provision_server": (
        "Look before anything is changed",
        "Upgrade packages and install the tools",
        "Set time zone and host name",
        "Allow SSH, HTTP and HTTPS in the firewall",
        "Refuse password logins",
        "Enable the firewall",
        "Guard sshd with fail2ban",
        "Start Docker with Compose",
        "Verify by effect",
    ),
    "health_check": ("Read the state of the host",),
    "deploy_service": ("Write the Compose file", "Start the service", "Wait for its health"),
}
"""What each playbook's tasks are called; those of `health_check` never change anything."""
_CONNECT_TIMEOUT_S = 10
_READ_ONLY = frozenset({"health_check"})


@dataclass(slots=True)
class FailurePlan:
    """Let the task at `task` (from 1) fail in the next `times` runs."""

    task: int
    times: int = 1
    message: str = "simulated failure"

    def strikes(self, position: int) -> bool:
        """Whether this task fails now; counts down."""
        if position != self.task or self.times <= 0:
            return False
        self.times -= 1
        return True


class _TaskFailed(Exception):
    """A task could not be done; `text` is what the host said."""

    def __init__(self, task: str, text: str) -> None:
        super().__init__(task)
        self.task = task
        self.text = text


class SimulatedConfigurationRunner:
    """Fulfils `ConfigurationRunner`. `baseline_version` is what a converged host says in its baseline file."""

    def __init__(
        self,
        *,
        baseline_version: str = "simulated",
        task_s: float = 0.2,
        failures: FailurePlan | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.failures = failures
        self._baseline_version = baseline_version
        self._task_s = task_s
        self._clock = clock or SystemClock()

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
        """Play all tasks, then hand back the host's report."""
        if playbook not in PLAYBOOKS:
            raise PlaybookNotFound(f"There is no playbook {playbook!r}.", hint=f"There are {', '.join(PLAYBOOKS)}.")
        play = _Play(self, playbook, variables, on_event)
        try:
            async with asyncio.timeout(timeout_s) as limit:
                connection = await _log_in(endpoint, host_keys, private_key)
                try:
                    await play.perform(connection)
                finally:
                    connection.abort()
        except _TaskFailed as failure:
            return play.result(failed_task=failure.task, error=failure.text)
        except (asyncssh.Error, OSError) as error:
            if limit.expired():
                raise PlaybookTimeout(f"{playbook} did not end within {timeout_s:.0f} s.") from None
            return play.result(failed_task=play.task, error=f"unreachable: {type(error).__name__}", unreachable=True)
        return play.result()

    async def pause(self) -> None:
        """The length of one task."""
        await self._clock.sleep(self._task_s)

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def baseline_version(self) -> str:
        return self._baseline_version


class _Play:
    """One run of one playbook."""

    def __init__(
        self,
        runner: SimulatedConfigurationRunner,
        playbook: str,
        variables: Mapping[str, Any],
        on_event: Callable[[TaskEvent], Awaitable[None]],
    ) -> None:
        self._variables = variables
        self._runner = runner
        self._playbook = playbook
        self._on_event = on_event
        self._tasks = PLAYBOOKS[playbook]
        self._started_at_s = runner.clock.monotonic()
        self._changed = 0
        self._report: dict[str, Any] = {}
        self.task = ""

    async def perform(self, connection: asyncssh.SSHClientConnection) -> None:
        """All tasks in order; the baseline is written last."""
        for position, task in enumerate(self._tasks, start=1):
            self.task = task
            await self._perform_task(connection, position)
        if self._playbook == "provision_server":
            written = await _say(connection, f"{WRITE_FILE} {BASELINE_FILE}", stdin=self._runner.baseline_version)
            self._changed += bool(written["changed"])
        self._report = await _say(connection, PLAYBOOK_REPORT)
        if self._playbook == "deploy_service" and "service_name" in self._variables:
            self._report |= await _say(connection, SERVICE, stdin=_service_of(self._variables).model_dump_json())

    def result(self, *, failed_task: str = "", error: str = "", unreachable: bool = False) -> PlaybookResult:
        """How it stands now."""
        return PlaybookResult(
            ok=not error,
            changed=self._changed,
            duration_s=self._runner.clock.monotonic() - self._started_at_s,
            failed_task=failed_task,
            error=error,
            unreachable=unreachable,
            report=self._report,
        )

    async def _perform_task(self, connection: asyncssh.SSHClientConnection, position: int) -> None:
        begun_at_s = self._runner.clock.monotonic()
        await self._tell(TaskState.STARTED, position)
        await self._runner.pause()
        try:
            changed = await self._effect(connection, position)
        except _TaskFailed as failure:
            await self._tell(TaskState.FAILED, position, message=failure.text)
            raise
        except (asyncssh.Error, OSError):
            await self._tell(TaskState.UNREACHABLE, position)
            raise
        self._changed += changed
        duration_s = self._runner.clock.monotonic() - begun_at_s
        await self._tell(TaskState.CHANGED if changed else TaskState.OK, position, duration_s=duration_s)

    async def _effect(self, connection: asyncssh.SSHClientConnection, position: int) -> bool:
        failures = self._runner.failures
        if failures is not None and failures.strikes(position):
            raise _TaskFailed(self.task, failures.message)
        if self._playbook in _READ_ONLY:
            return False
        answer = await _say(connection, f"{PLAYBOOK_TASK} {self._playbook} {position} {self.task}", task=self.task)
        return bool(answer["changed"])

    async def _tell(
        self, state: TaskState, position: int, *, message: str = "", duration_s: float | None = None
    ) -> None:
        now, total = self._runner.clock.now(), len(self._tasks)
        await self._on_event(TaskEvent(now, self.task, state, message, position, total, duration_s))


def _service_of(variables: Mapping[str, Any]) -> SimulatedService:
    """What the playbook's variables ask for; containers are called as Docker Compose calls them."""
    name, port = str(variables["service_name"]), int(variables["service_port"])
    compose = variables.get("service_compose_file")
    services = check_compose(compose)["services"] if compose else {}
    return SimulatedService(
        name=name,
        state=variables["service_state"],
        port=port,
        is_public=port in variables["published_tcp_ports"],
        containers=[str(one.get("container_name") or f"{name}-{key}-1") for key, one in services.items()],
    )


async def _log_in(endpoint: SshEndpoint, host_keys: Sequence[str], private_key: Path) -> asyncssh.SSHClientConnection:
    """By key only, and only to the host that proves one of `host_keys`."""
    return await asyncssh.connect(
        endpoint.address,
        endpoint.port,
        username=endpoint.user,
        client_keys=[str(private_key)],
        known_hosts=([asyncssh.import_public_key(key) for key in host_keys], [], []),
        preferred_auth="publickey",
        config=None,
        agent_path=None,
        connect_timeout=_CONNECT_TIMEOUT_S,
        login_timeout=_CONNECT_TIMEOUT_S,
        keepalive_interval=2,
    )


async def _say(
    connection: asyncssh.SSHClientConnection, command: str, *, stdin: str = "", task: str = ""
) -> dict[str, Any]:
    """One remote command that answers a JSON object."""
    completed = await connection.run(command, input=stdin, encoding="utf-8")
    if completed.exit_status is None:
        raise ConnectionResetError("the connection ended in the middle of a command")
    if completed.exit_status != 0:
        raise _TaskFailed(task or command, str(completed.stderr).strip())
    answer: dict[str, Any] = json.loads(str(completed.stdout))
    return answer
