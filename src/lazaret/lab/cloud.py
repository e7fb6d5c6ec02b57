"""The lab's account at the provider: its servers, one task at a time per server, and what happens to the hosts.

Owns the truth about servers and tasks, and persists it. Knows nothing of HTTP; `api` and `control` speak for it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress

from pydantic import SecretStr

from lazaret.kernel.clock import Clock
from lazaret.kernel.errors import Conflict, InvalidInput, LazaretError, NotFound
from lazaret.lab.calls import Call
from lazaret.lab.effects import EFFECTS, Job
from lazaret.lab.fault_book import FaultBook
from lazaret.lab.faults import POWER_OFF
from lazaret.lab.host import LabHost
from lazaret.lab.journal import Journal
from lazaret.lab.orders import Refusal, check_parameters
from lazaret.lab.plans import fresh_password, plan_of
from lazaret.lab.rack import Rack
from lazaret.lab.servers import ActiveFault, CloudServer, default_hostname, handle_of
from lazaret.lab.store import ServerStore
from lazaret.lab.switches import Busy, Switchboard
from lazaret.lab.tasks import LabTask, Pace, new_password

FIRST_SERVER_ID = 900001
FIRST_TASK_ID = 4951001

log = logging.getLogger(__name__)


class Cloud:
    """One account. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        rack: Rack,
        clock: Clock,
        pace: Pace,
        switches: Switchboard,
        journal: Journal,
        store: ServerStore | None = None,
    ) -> None:
        self.rack = rack
        self.journal = journal
        self.switches = switches
        self._clock = clock
        self._pace = pace
        self._store = store
        self._faults = FaultBook(journal, self._save)
        self._servers: dict[int, CloudServer] = {}
        self._hosts: dict[int, LabHost] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._workers: dict[int, asyncio.Task[None]] = {}
        self._boots: dict[int, asyncio.Task[None]] = {}
        self._releases: dict[int, asyncio.Event] = {}
        self._last_server_id = FIRST_SERVER_ID - 1
        self._last_task_id = FIRST_TASK_ID - 1

    # What there is

    def servers(self) -> list[CloudServer]:
        """All servers by id."""
        return [self._servers[server_id] for server_id in sorted(self._servers)]

    def find(self, server_id: int) -> CloudServer | None:
        """The server, or None."""
        return self._servers.get(server_id)

    def server(self, server_id: int) -> CloudServer:
        """The server; `NotFound` when there is none."""
        if (server := self._servers.get(server_id)) is None:
            raise NotFound(f"The lab has no server {handle_of(server_id)}.", hint="Those that it has: lazaret lab list")
        return server

    def host(self, server_id: int) -> LabHost:
        """The machine behind a server."""
        self.server(server_id)
        return self._hosts[server_id]

    # What the lab's operator does

    async def add_server(self, *, os: str | None = None, label: str = "") -> CloudServer:
        """Rent one more server and boot it. Returns when its init runs, not when SSH answers."""
        template = self._template(os)
        self._last_server_id += 1
        server_id = self._last_server_id
        host = await self.rack.new_host(server_id)
        password = new_password()
        server = CloudServer(
            server_id=server_id,
            hostname=default_hostname(server_id),
            label=label,
            os=template,
            address=host.address,
            ssh_port=host.ssh_port,
            created_at=self._clock.now(),
            root_password=password,
        )
        try:
            await host.create(os=template, hostname=server.hostname, root_password=password)
            await host.power_on()
        except BaseException:
            await self.rack.remove_host(host)
            raise
        self._take_in(server, host)
        self._save(server)
        self.journal.control("add", server_id)
        return server

    async def remove_server(self, server_id: int) -> None:
        """End the contract: the host is destroyed and the server is not listed any more."""
        self.server(server_id)
        await self._stop(server_id)
        server, host = self._servers.pop(server_id), self._hosts.pop(server_id)
        del self._locks[server.server_id]
        await self.rack.remove_host(host)
        if self._store is not None:
            self._store.forget(server_id)
        self.journal.control("remove", server_id)

    async def power_off(self, server_id: int) -> None:
        """Pull the plug, as a dying machine would; the provider notices nothing."""
        server = self.server(server_id)
        await _end(self._boots.pop(server_id, None))
        async with self._locks[server_id]:
            await self._hosts[server_id].power_off()
            server.is_powered = False
        self._save(server)
        self.journal.control("power-off", server_id)

    async def power_on(self, server_id: int) -> None:
        """Plug it in again."""
        server = self.server(server_id)
        async with self._locks[server_id]:
            await self._hosts[server_id].power_on()
            server.is_powered = True
        self._save(server)
        self.journal.control("power-on", server_id)

    async def inflict(self, server_id: int, name: str, parameters: Mapping[str, object] | None = None) -> ActiveFault:
        """Let a server have a fault of the table. Raises `InvalidInput`; `Conflict` when it cannot have it now."""
        server = self.server(server_id)
        if name == POWER_OFF:
            await _end(self._boots.pop(server_id, None))
        async with self._locks[server_id]:
            return await self._faults.inflict(server, self._hosts[server_id], name, parameters or {})

    async def heal(self, server_id: int, name: str | None = None) -> list[str]:
        """End one fault of a server, or all; returns their names. `NotFound` when it does not have that one."""
        server = self.server(server_id)
        async with self._locks[server_id]:
            return await self._faults.heal(server, self._hosts[server_id], name)

    async def faults(self, server_id: int) -> list[ActiveFault]:
        """What a server has by now, oldest first: its host is asked, and what is over is forgotten."""
        return await self._faults.present(self.server(server_id), self._hosts[server_id])

    def end_task(self, server_id: int) -> None:
        """Let the task that hangs complete. Raises `Conflict` when none does."""
        task = self.server(server_id).active_task
        release = self._releases.get(task.task_id) if task is not None else None
        if release is None:
            raise Conflict(
                f"No task of {handle_of(server_id)} hangs.", hint="Only one that a switch has left hanging is ended so."
            )
        release.set()
        self.journal.control("end-task", server_id)

    # What a customer of the provider does

    def order(self, call: Call, server_id: int, parameters: Mapping[str, str]) -> int:
        """Start a task, or queue it; returns its id. Raises `Refusal`, after which nothing has happened."""
        server = self.find(server_id)
        if server is None:
            raise Refusal("Server not found", status=404)
        accepted = check_parameters(call, parameters, server=server, templates=self.rack.templates)
        if server.active_task is not None:
            busy = self.switches.take(Busy, call, server_id) or Busy()
            if busy.mode == "refuse":
                raise Refusal("Server is busy, another task is running", status=busy.status)
        self._last_task_id += 1
        task = LabTask(
            task_id=self._last_task_id,
            call=call,
            activated=self._clock.now(),
            parameters=accepted,
            plan=plan_of(self.switches, call, server_id),
            new_password=fresh_password(self.switches, call, server_id),
        )
        server.tasks.append(task)
        self._save(server)
        self._ensure_worker(server_id)
        return task.task_id

    def find_task(self, server_id: int, wanted: str) -> LabTask | None:
        """A task of a server by its id, or the latest one by its name."""
        server = self.find(server_id)
        tasks = reversed(server.tasks) if server is not None else []
        return next((task for task in tasks if wanted in (str(task.task_id), task.name)), None)

    # Life of the account itself

    async def resume(self) -> None:
        """Take up what an earlier process of this lab left: hosts are adopted, unfinished tasks run again."""
        for server in self._store.load() if self._store is not None else ():
            host = await self.rack.adopt_host(server.server_id)
            self._last_server_id = max(self._last_server_id, server.server_id)
            if host is None:
                log.warning("host of %s is gone; the server is dropped", handle_of(server.server_id))
                continue
            self._last_task_id = max([self._last_task_id, *(task.task_id for task in server.tasks)])
            server.address, server.ssh_port = host.address, host.ssh_port
            self._take_in(server, host)
            if server.is_powered and not host.is_on:
                await host.power_on()
            if server.active_task is not None:
                self._ensure_worker(server.server_id)

    async def settle(self) -> None:
        """Wait until no task and no boot is under way. Tasks that hang are waited for, too."""
        while waiting := [*self._workers.values(), *self._boots.values()]:
            await asyncio.gather(*waiting)

    async def close(self, *, destroy: bool = True) -> None:
        """Stop all tasks; with `destroy`, the hosts go too."""
        for server_id in list(self._servers):
            await self._stop(server_id)
        if destroy:
            await asyncio.gather(*(self.rack.remove_host(host) for host in self._hosts.values()))
            self._hosts.clear()
            self._servers.clear()

    # How tasks run

    def _ensure_worker(self, server_id: int) -> None:
        if server_id not in self._workers:
            worker = asyncio.create_task(self._work_off(server_id), name=f"tasks of {handle_of(server_id)}")
            self._workers[server_id] = worker
            worker.add_done_callback(lambda _: self._workers.pop(server_id, None))

    async def _work_off(self, server_id: int) -> None:
        server = self._servers[server_id]
        while (task := server.active_task) is not None:
            await self._clock.sleep(self._pace.queue_s)
            task.assigned = self._clock.now()
            self._save(server)
            if task.plan.hangs:
                await self._hang(task)
            await self._perform(server, task)
            task.completed = self._clock.now()
            server.forget_old_tasks()
            self._save(server)

    async def _hang(self, task: LabTask) -> None:
        release = self._releases.setdefault(task.task_id, asyncio.Event())
        try:
            await release.wait()
        finally:
            del self._releases[task.task_id]

    async def _perform(self, server: CloudServer, task: LabTask) -> None:
        host = self._hosts[server.server_id]
        lock = self._locks[server.server_id]
        job = Job(server, host, task, self._pace, self._clock, lock, self._clock.monotonic())
        if task.plan.fails_with is not None:
            await job.spend_the_time()
            task.results = SecretStr(task.plan.fails_with)
            self.journal.effect(task.call.value, server.server_id, "failed", task_id=task.task_id, note="by switch")
            return
        try:
            task.results = await EFFECTS[task.call](job)
        except Exception as error:  # whatever a host does, the task ends and says so
            if isinstance(error, LazaretError):  # a host that is off takes no command: the provider's everyday life
                log.info("task %s of %s failed: %s", task.name, handle_of(server.server_id), error)
            else:
                log.exception("task %s of %s failed", task.name, handle_of(server.server_id))
            task.results = SecretStr("Error: operation failed")
            note = type(error).__name__
            self.journal.effect(task.call.value, server.server_id, "failed", task_id=task.task_id, note=note)
            return
        self.journal.effect(task.call.value, server.server_id, "done", task_id=task.task_id)
        if task.call in (Call.REINSTALL, Call.REBOOT):
            server.is_powered = True
        if task.call is Call.REINSTALL:
            self._boot_later(server)

    def _boot_later(self, server: CloudServer) -> None:
        async def boot() -> None:
            await self._clock.sleep(self._pace.boot_after_reinstall_s)
            async with self._locks[server.server_id]:
                await self._hosts[server.server_id].power_on()
            self.journal.effect("boot", server.server_id, "done")

        task = asyncio.create_task(boot(), name=f"boot of {handle_of(server.server_id)}")
        self._boots[server.server_id] = task
        task.add_done_callback(lambda _: self._boots.pop(server.server_id, None))

    def _template(self, os: str | None) -> str:
        known: Sequence[str] = [template.os for template in self.rack.templates]
        if os is None:
            return known[0]
        if os not in known:
            raise InvalidInput(f"The lab cannot install {os!r}.", hint=f"It can install {', '.join(known)}.")
        return os

    def _take_in(self, server: CloudServer, host: LabHost) -> None:
        self._servers[server.server_id] = server
        self._hosts[server.server_id] = host
        self._locks[server.server_id] = asyncio.Lock()

    def _save(self, server: CloudServer) -> None:
        if self._store is not None:
            self._store.save(server)

    async def _stop(self, server_id: int) -> None:
        await _end(self._workers.get(server_id))
        await _end(self._boots.get(server_id))


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
