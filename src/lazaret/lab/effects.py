"""What each task of the provider does to a host.

An effect takes as long as the provider would, does its work through the `LabHost`, and returns the result's text.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import SecretStr

from lazaret.kernel.clock import Clock
from lazaret.lab.calls import Call
from lazaret.lab.host import LabHost
from lazaret.lab.rack import InstallsKeys
from lazaret.lab.servers import CloudServer
from lazaret.lab.tasks import LabTask, Pace, password_text


@dataclass(frozen=True, slots=True)
class Job:
    """One task at work on one host. `started_at_s` is of the clock's monotonic time."""

    server: CloudServer
    host: LabHost
    task: LabTask
    pace: Pace
    clock: Clock
    lock: asyncio.Lock
    """Held around each thing done to the host: the lab's operator may do something else in between."""
    started_at_s: float

    async def spend_the_time(self) -> None:
        """Wait until the task has lasted as long as its kind does."""
        elapsed_s = self.clock.monotonic() - self.started_at_s
        await self.clock.sleep(max(0.0, self.pace.duration_s(self.task.call) - elapsed_s))

    def password_text(self, password: SecretStr) -> SecretStr:
        """The result that carries a password."""
        server = self.server
        return password_text(
            password, form=self.task.plan.password_form, hostname=server.hostname, address=server.address
        )


Effect = Callable[[Job], Awaitable[SecretStr]]


async def reset_password(job: Job) -> SecretStr:
    """At the end, the new password holds; everything else stays."""
    password = _ordered_password(job)
    await job.spend_the_time()
    async with job.lock:
        await job.host.set_root_password(password)
        job.server.root_password = password
    return job.password_text(password)


async def reinstall(job: Job) -> SecretStr:
    """From the start the host is off; at the end its disk is new. The cloud boots it a while later."""
    server, password = job.server, _ordered_password(job)
    os, public_key = job.task.parameters["os"], job.task.parameters.get("ssh_key", "")
    async with job.lock:
        await job.host.power_off()
        await job.host.create(os=os, hostname=server.hostname, root_password=password)
        server.os, server.root_password = os, password
        if public_key and job.task.plan.ssh_key_honoured and isinstance(job.host, InstallsKeys):
            await job.host.install_root_key(public_key)
    await job.spend_the_time()
    return job.password_text(password)


async def reboot(job: Job) -> SecretStr:
    """The host goes down at once and boots while the task still runs."""
    async with job.lock:
        await job.host.reboot()
    await job.spend_the_time()
    return SecretStr(f"Virtual machine {job.server.hostname} was rebooted.")


async def flush_firewall(job: Job) -> SecretStr:
    """At the end, the packet filter lets everything through."""
    await job.spend_the_time()
    async with job.lock:
        await job.host.flush_firewall()
    return SecretStr("Firewall rules were flushed.")


async def open_web_console(job: Job) -> SecretStr:
    """There is no console in the lab: the text has the form of one."""
    await job.spend_the_time()
    lifetime = job.task.parameters["timeout"]
    return SecretStr(f"URL: https://console.example.net/{job.task.task_id}\nExpires in: {lifetime}\n")


async def rename(job: Job) -> SecretStr:
    """The provider's name changes; the host's own does not."""
    await job.spend_the_time()
    job.server.hostname = job.task.parameters["hostname"]
    return SecretStr(f"Hostname was changed to {job.server.hostname}.")


async def change_ptr(job: Job) -> SecretStr:
    """Nothing in the lab resolves names backwards."""
    await job.spend_the_time()
    return SecretStr("PTR record was changed.")


async def change_dns(job: Job) -> SecretStr:
    """Fills the resolvers that the details tell."""
    await job.spend_the_time()
    names = (job.task.parameters.get(f"ns{number}", "") for number in range(1, 5))
    job.server.dns_servers = [name for name in names if name]
    return SecretStr("DNS servers were changed.")


EFFECTS: dict[Call, Effect] = {
    Call.REBOOT: reboot,
    Call.REINSTALL: reinstall,
    Call.RESET_PASSWORD: reset_password,
    Call.FLUSH_FIREWALL: flush_firewall,
    Call.WEB_CONSOLE: open_web_console,
    Call.RENAME: rename,
    Call.CHANGE_PTR: change_ptr,
    Call.CHANGE_DNS: change_dns,
}


def _ordered_password(job: Job) -> SecretStr:
    password = job.task.new_password
    assert password is not None, "a reset or reinstall was ordered without a password"
    return password
