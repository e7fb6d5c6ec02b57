"""A provider with a task engine and a journal, whose next answers can be spoilt."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from lazaret.kernel.clock import Clock
from lazaret.servers.access import Login
from lazaret.servers.provider import (
    Capability,
    ListedServer,
    OsTemplate,
    PasswordNotInResult,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
    ProviderTask,
    ProviderTaskTimeout,
    ProviderTaskUnknown,
    ProviderUnavailable,
    ServerDetails,
)
from tests.fakes.fuse import Fuse
from tests.fakes.machine import Machine

PASSWORD_MARK = "root password is "
OFFERED = ("kvm-debian-12", "kvm-debian-13", "kvm-ubuntu-24.04")


@dataclass
class Task:
    """One task: its effect comes at its end, and its result with it."""

    task_id: int
    server_id: int
    action: Capability
    begun_at: datetime
    ends_at: datetime
    effect: Callable[[], str]
    result: str | None = None


class FakeProvider:
    """Fulfils `Provider`. A task takes `task_s` seconds of the clock; `hangs` keeps the tasks of an action running."""

    name = "time4vps"
    capabilities = frozenset(Capability)
    task_names: Mapping[Capability, str] = {action: f"task_{action.value}" for action in Capability}

    def __init__(self, clock: Clock, *machines: Machine, fuse: Fuse | None = None, task_s: float = 20) -> None:
        self.clock = clock
        self.machines = {machine.server_id: machine for machine in machines}
        self.fuse = fuse or Fuse()
        self.task_s = task_s
        self.journal: list[tuple[Capability, int]] = []
        """Every action that was executed."""
        self.asked: list[Capability] = []
        """Every action that was asked for, executed or not."""
        self.tasks: list[Task] = []
        self.tells_password: dict[Capability, bool] = {Capability.RESET_PASSWORD: True, Capability.REINSTALL: True}
        self.hangs: set[Capability] = set()
        self.first_logins: dict[int, Login] = {}
        self.listing: list[ListedServer] | ProviderError | None = None
        self.reading: list[ProviderError] = []
        self._refusals: dict[Capability, list[ProviderError]] = defaultdict(list)
        self._lost: dict[Capability, list[bool]] = defaultdict(list)
        self._ids = itertools.count(4951001)

    # spoiling

    def refuse(self, action: Capability, *errors: ProviderError) -> None:
        """The next calls of this action raise these errors, without any effect."""
        self._refusals[action] += errors

    def lose_answer(self, action: Capability, *, executed: bool) -> None:
        """The answer to the next call of this action never arrives; the call itself may be executed or not."""
        self._lost[action].append(executed)

    # the Protocol

    async def list_servers(self) -> list[ListedServer]:
        self._read("list")
        if isinstance(self.listing, ProviderError):
            raise self.listing
        if self.listing is not None:
            return self.listing
        return [ListedServer(m.server_id, m.address, f"host-{m.server_id}") for m in self.machines.values()]

    async def get_server(self, server_id: int, *, fresh: bool = False) -> ServerDetails:
        self._read("details")
        machine = self._machine(server_id)
        tasks = [task for task in self.tasks if task.server_id == server_id]
        over = [task for task in tasks if self._is_over(task)]
        active = [task for task in tasks if task not in over]
        return ServerDetails(
            server_id=server_id,
            public_ip=machine.address,
            hostname=f"host-{server_id}",
            label="",
            status="Active",
            os_template=machine.os,
            cpu_cores=2,
            ram_mb=4096,
            disk_mb=40960,
            active_task=self._shown(active[0], with_id=False) if active else None,
            last_tasks=tuple(self._shown(task, with_id=False) for task in over),
        )

    async def list_os(self, server_id: int) -> list[OsTemplate]:
        self._read("operating systems")
        return [OsTemplate(name, name) for name in OFFERED]

    async def first_login(self, server_id: int) -> Login | None:
        return self.first_logins.get(server_id)

    async def reboot(self, server_id: int) -> int:
        return self._act(server_id, Capability.REBOOT, lambda: "rebooted")

    async def reinstall(self, server_id: int, os: str) -> int:
        machine = self._machine(server_id)
        return self._act(server_id, Capability.REINSTALL, lambda: machine.reinstall(os))

    async def reset_password(self, server_id: int) -> int:
        machine = self._machine(server_id)
        return self._act(server_id, Capability.RESET_PASSWORD, machine.reset_password)

    async def flush_firewall(self, server_id: int) -> int:
        return self._act(server_id, Capability.FLUSH_FIREWALL, lambda: "flushed")

    async def get_task_result(self, server_id: int, task_id: int) -> ProviderTask:
        self._read("task")
        for task in self.tasks:
            if (task.server_id, task.task_id) == (server_id, task_id):
                return self._shown(task, with_id=True)
        raise ProviderTaskUnknown("Invalid task ID.")

    async def wait_for_task(self, server_id: int, task_id: int, *, timeout_s: float) -> ProviderTask:
        deadline = self.clock.monotonic() + timeout_s
        while True:
            task = await self.get_task_result(server_id, task_id)
            if task.is_over:
                return task
            if self.clock.monotonic() >= deadline:
                raise ProviderTaskTimeout(f"Task {task_id} is not over after {timeout_s:.0f} s.")
            await self.clock.sleep(5)

    async def wait_for_password_reset(self, server_id: int, task_id: int, *, timeout_s: float = 300) -> SecretStr:
        password = self.password_in(await self.wait_for_task(server_id, task_id, timeout_s=timeout_s))
        if password is None:
            raise PasswordNotInResult("no password")
        return password

    def password_in(self, task: ProviderTask) -> SecretStr | None:
        _, found, password = task.result.get_secret_value().partition(PASSWORD_MARK)
        return SecretStr(password) if found else None

    # the task engine

    def count(self, action: Capability) -> int:
        """How often this action was executed."""
        return sum(1 for done, _ in self.journal if done is action)

    def run_task(self, server_id: int, action: Capability, *, begun_at: datetime) -> None:
        """A task that somebody else began, in the client area."""
        ends_at = begun_at + timedelta(seconds=self.task_s)
        self.tasks.append(Task(next(self._ids), server_id, action, begun_at, ends_at, lambda: "by hand"))

    def _read(self, what: str) -> None:
        self.fuse.tick(f"before reading {what}")
        for task in self.tasks:
            self._is_over(task)
        if self.reading:
            raise self.reading.pop(0)

    def _act(self, server_id: int, action: Capability, effect: Callable[[], str]) -> int:
        self.fuse.tick(f"before {action}")
        self.asked.append(action)
        if self._refusals[action]:
            raise self._refusals[action].pop(0)
        lost = self._lost[action].pop(0) if self._lost[action] else None
        if lost is False:
            raise ProviderUnavailable("The connection was cut.")
        if any(task.server_id == server_id and not self._is_over(task) for task in self.tasks):
            raise ProviderBusy("Another task runs.")
        now = self.clock.now()
        task = Task(next(self._ids), server_id, action, now, now + timedelta(seconds=self.task_s), effect)
        self.tasks.append(task)
        self.journal.append((action, server_id))
        if lost is True:
            raise ProviderUnavailable("The connection was cut.")
        self.fuse.tick(f"after {action}")
        return task.task_id

    def _is_over(self, task: Task) -> bool:
        if task.result is None and task.action not in self.hangs and self.clock.now() >= task.ends_at:
            told = task.effect()
            tells = self.tells_password.get(task.action, False)
            task.result = f"Done. {PASSWORD_MARK}{told}" if tells else "Done."
        return task.result is not None

    def _shown(self, task: Task, *, with_id: bool) -> ProviderTask:
        over = self._is_over(task)
        return ProviderTask(
            name=self.task_names[task.action],
            task_id=task.task_id if with_id else None,
            activated_at=task.begun_at,
            completed_at=task.ends_at if over else None,
            result=SecretStr(task.result or ""),
        )

    def _machine(self, server_id: int) -> Machine:
        if server_id not in self.machines:
            raise ProviderRefused("There is no such server.")
        return self.machines[server_id]
