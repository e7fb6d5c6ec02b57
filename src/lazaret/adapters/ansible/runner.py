"""Runs playbooks by ansible-runner. Fulfils `servers.configuration.ConfigurationRunner`.

Ansible is a program of its own in a thread's care: the event loop never waits for it; cancelling ends its processes.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import yaml

from lazaret.adapters.ansible.events import Progress, redactor_for
from lazaret.adapters.ansible.workspace import Workspace, end_connections, environment_of, workspace
from lazaret.playbooks import DIRECTORY, playbook_names
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import PlaybookNotFound, PlaybookResult, PlaybookTimeout, TaskEvent

LOOK_S = 1
"""Seconds between two looks at whether the run was cancelled."""
AT_ONCE = 64


class AnsibleRunner:
    """Runs the playbooks that come with Lazaret."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ansible")

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
        if playbook not in playbook_names():
            raise PlaybookNotFound(
                f"There is no playbook {playbook!r}.", hint=f"There are {', '.join(playbook_names())}."
            )
        started = monotonic()
        progress = Progress(total=task_count(playbook), redactor=redactor_for(variables))
        with workspace(endpoint, host_keys, private_key, variables) as space:
            status, output = await self._watch(playbook, space, progress, on_event, timeout_s)
        if status == "timeout":
            raise PlaybookTimeout(f"{playbook} did not end within {timeout_s:.0f} s.", hint="What is done is done.")
        return progress.result(ok=status == "successful", duration_s=monotonic() - started, output=output)

    async def _watch(
        self,
        playbook: str,
        space: Workspace,
        progress: Progress,
        on_event: Callable[[TaskEvent], Awaitable[None]],
        timeout_s: float,
    ) -> tuple[str, str]:
        """Hand events on as they come; returns Ansible's status and the end of its output."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        stop = threading.Event()

        def hear(event: dict[str, Any]) -> bool:
            loop.call_soon_threadsafe(events.put_nowait, event)
            return False  # nothing is kept on disk

        def work() -> tuple[str, str]:
            try:
                return _run_ansible(playbook, space, hear, stop.is_set, timeout_s)
            finally:
                end_connections(space)
                loop.call_soon_threadsafe(events.put_nowait, None)

        running = loop.run_in_executor(self._threads, work)
        try:
            while (event := await events.get()) is not None:
                shown = progress.take(event, datetime.now(UTC))
                if shown is not None:
                    await on_event(shown)
        finally:
            stop.set()
            ended = await _to_the_end(running)
        return ended


async def _to_the_end(running: "asyncio.Future[tuple[str, str]]") -> tuple[str, str]:
    """Wait for the thread even when cancelled: its processes must be gone before the files are."""
    cancelled = False
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return running.result()


def _run_ansible(
    playbook: str,
    space: Workspace,
    hear: Callable[[dict[str, Any]], bool],
    is_cancelled: Callable[[], bool],
    timeout_s: float,
) -> tuple[str, str]:
    """Blocks until Ansible has ended; returns `successful`, `failed`, `timeout` or `canceled`, and its output."""
    from ansible_runner import Runner, RunnerConfig  # noqa: PLC0415 - a third of a second that only converging pays

    wanted = environment_of(space.directory)
    config = RunnerConfig(
        private_data_dir=str(space.directory),
        project_dir=str(DIRECTORY),
        playbook=str(DIRECTORY / f"{playbook}.yml"),
        inventory=str(space.inventory),
        cmdline=f"-e @{space.variables}",
        envvars=wanted,
        settings={"pexpect_timeout": LOOK_S, "suppress_env_files": True},
        timeout=int(timeout_s),
        quiet=True,
    )
    config.prepare()
    config.env = {name: value for name, value in config.env.items() if name in wanted or name not in os.environ}
    done = Runner(config, event_handler=hear, cancel_callback=is_cancelled)
    done.run()
    return str(done.status), _tail(done)


def _tail(done: Any) -> str:
    """The end of what Ansible printed; it explains what no task explains."""
    try:
        return str(done.stdout.read())[-2000:]
    except (AttributeError, OSError):
        return ""


def task_count(playbook: str) -> int:
    """How many named tasks a playbook has, handlers left out: for the progress bar."""
    plays = yaml.safe_load((DIRECTORY / f"{playbook}.yml").read_text(encoding="utf-8"))
    tasks = [task for play in plays for task in play.get("tasks", ())]
    return sum(1 for task in tasks if "ansible.builtin.meta" not in task)
