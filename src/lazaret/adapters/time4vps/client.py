"""The client of the Time4VPS user API: one for all processes. Fulfils `servers.provider.Provider`.

Reading calls retry by themselves; action calls are sent once and never again by this module.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from lazaret.adapters.time4vps import wire
from lazaret.adapters.time4vps.connection import AccountConnection
from lazaret.adapters.time4vps.password import password_in
from lazaret.adapters.time4vps.polling import poll_until_over
from lazaret.kernel.clock import Clock
from lazaret.servers.access import Login
from lazaret.servers.provider import (
    CallBudget,
    Capability,
    ListedServer,
    OsTemplate,
    PasswordNotInResult,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
    ProviderTask,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
    ServerDetails,
)
from lazaret.servers.registry import TIME4VPS

READ_TRIES = 3
PATIENCE_S = 90.0
"""How long a call waits for its turn; a longer throttle is told to whoever asked."""
DETAILS_AGE_S = 300.0
TIMEOUT_S = 30.0
CLOCK_SLACK = timedelta(seconds=120)
"""How far the provider's clock may be from ours when a task is recognised by its time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Begun:
    """What is known of a task besides its id: enough to find it again by name."""

    name: str
    not_before: datetime


class Time4VPSClient:
    """One account. `base_url` ends in `/api`; `poll_interval_s` is the least time between two looks at a task."""

    name = TIME4VPS.name
    capabilities = TIME4VPS.capabilities
    task_names: Mapping[Capability, str] = {
        Capability.REBOOT: "server_reboot",
        Capability.RESET_PASSWORD: "server_reset_password",
        Capability.REINSTALL: "server_recreate",
        Capability.FLUSH_FIREWALL: "server_flush_iptables",
    }

    def __init__(
        self,
        *,
        base_url: str,
        login: str,
        password: SecretStr,
        budget: CallBudget,
        clock: Clock,
        poll_interval_s: float = 5.0,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._account = AccountConnection(
            base_url=base_url, login=login, password=password, budget=budget, timeout_s=timeout_s, transport=transport
        )
        self._clock = clock
        self._poll_interval_s = poll_interval_s
        self._details: dict[int, tuple[float, ServerDetails]] = {}
        self._begun: dict[int, _Begun] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._account.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    async def list_servers(self) -> list[ListedServer]:
        return await self._read("/server", wire.listed_servers)

    async def get_server(self, server_id: int, *, fresh: bool = False) -> ServerDetails:
        cached = self._details.get(server_id)
        if not fresh and cached is not None and self._clock.monotonic() - cached[0] < DETAILS_AGE_S:
            return cached[1]
        details = await self._read(f"/server/{server_id}", lambda body: wire.server_details(server_id, body))
        self._details[server_id] = (self._clock.monotonic(), details)
        return details

    async def list_os(self, server_id: int) -> list[OsTemplate]:
        return await self._read(f"/server/{server_id}/oses", wire.os_templates)

    async def first_login(self, server_id: int) -> Login | None:  # noqa: ARG002 - the Protocol's names
        """None: it resets the password."""
        return None

    async def reboot(self, server_id: int) -> int:
        return await self._act(server_id, Capability.REBOOT, "reboot")

    async def reinstall(self, server_id: int, os: str) -> int:
        return await self._act(server_id, Capability.REINSTALL, "reinstall", {"os": os})

    async def reset_password(self, server_id: int) -> int:
        return await self._act(server_id, Capability.RESET_PASSWORD, "resetpassword")

    async def flush_firewall(self, server_id: int) -> int:
        return await self._act(server_id, Capability.FLUSH_FIREWALL, "flushfirewall")

    async def get_task_result(self, server_id: int, task_id: int) -> ProviderTask:
        return await self._read(f"/server/{server_id}/task/{task_id}", lambda body: wire.task(body, task_id))

    async def wait_for_task(self, server_id: int, task_id: int, *, timeout_s: float) -> ProviderTask:
        async def look(within_s: float) -> ProviderTask:
            return await self._look_at(server_id, task_id, min(within_s, PATIENCE_S))

        task = await poll_until_over(
            look,
            self._clock,
            interval_s=self._poll_interval_s,
            timeout_s=timeout_s,
            what=f"Task {task_id} of server {server_id}",
        )
        self._details.pop(server_id, None)
        self._begun.pop(task_id, None)
        return task

    async def wait_for_password_reset(self, server_id: int, task_id: int, *, timeout_s: float = 300) -> SecretStr:
        task = await self.wait_for_task(server_id, task_id, timeout_s=timeout_s)
        password = self.password_in(task)
        if password is None:
            raise PasswordNotInResult(f"Task {task_id} of server {server_id} is over and holds no password.")
        return password

    def password_in(self, task: ProviderTask) -> SecretStr | None:
        return password_in(task.result.get_secret_value())

    async def _look_at(self, server_id: int, task_id: int, within_s: float) -> ProviderTask:
        """One look. A task whose id the provider forgot is the latest of its name, unless that is an older one."""
        path = f"/server/{server_id}/task"
        begun = self._begun.get(task_id)
        try:
            task = wire.task(await self._account.get(f"{path}/{task_id}", within_s=within_s), task_id)
        except ProviderTaskUnknown:
            if begun is None:
                raise
            task = wire.task(await self._account.get(f"{path}/{begun.name}", within_s=within_s), task_id)
            if task.name != begun.name or task.activated_at is None or task.activated_at < begun.not_before:
                raise
        if task.name and task.activated_at is not None:
            self._begun[task_id] = _Begun(task.name, task.activated_at)
        return task

    async def _act(
        self, server_id: int, action: Capability, path: str, parameters: dict[str, Any] | None = None
    ) -> int:
        asked_at = self._clock.now()
        try:
            body = await self._account.post(f"/server/{server_id}/{path}", parameters, within_s=PATIENCE_S)
        finally:
            self._details.pop(server_id, None)
        task_id = wire.task_id(body)
        if task_id is None:
            raise await self._taken_without_task(server_id, action)
        self._begun[task_id] = _Begun(self.task_names[action], asked_at - CLOCK_SLACK)
        return task_id

    async def _taken_without_task(self, server_id: int, action: Capability) -> ProviderRefused:
        """Accepted in form, but no task was begun: because another one runs, or for a reason that is not told."""
        try:
            details = await self.get_server(server_id, fresh=True)
        except ProviderError:
            details = None  # the answer to this reading call must not pass for the answer to the action
        if details is not None and details.active_task is not None:
            return ProviderBusy(f"The provider is busy with server {server_id}: {details.active_task.name}.")
        return ProviderRefused(f"The provider took the {action} of server {server_id} without beginning a task.")

    async def _read(self, path: str, parse: Callable[[object], T]) -> T:
        """A reading call, made again after a pause that doubles, with full jitter, or after what a throttle names."""
        for attempt in range(1, READ_TRIES + 1):
            try:
                return parse(await self._account.get(path, within_s=PATIENCE_S))
            except ProviderThrottled as throttled:
                pause_s = throttled.wait_s
                if attempt == READ_TRIES or pause_s > PATIENCE_S:
                    raise
            except ProviderUnavailable:
                pause_s = random.uniform(0, 2.0**attempt)  # noqa: S311 - jitter
                if attempt == READ_TRIES:
                    raise
            await self._clock.sleep(pause_s)
        raise AssertionError("the last try returns or raises")
