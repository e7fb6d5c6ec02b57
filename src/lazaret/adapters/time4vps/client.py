"""The client of the Time4VPS user API: one for all processes. Fulfils `servers.provider.Provider`.

Reading calls retry by themselves; action calls are sent once and never again by this module.
"""

import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import SecretStr

from lazaret.adapters.time4vps import wire
from lazaret.adapters.time4vps.password import password_in
from lazaret.adapters.time4vps.refusals import refusal
from lazaret.kernel.clock import Clock
from lazaret.servers.provider import (
    CallBudget,
    Capability,
    ListedServer,
    OsTemplate,
    PasswordNotInResult,
    ProviderBusy,
    ProviderRefused,
    ProviderTask,
    ProviderTaskTimeout,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
    ServerDetails,
)

READ_TRIES = 3
DETAILS_AGE_S = 300.0
TIMEOUT_S = 30.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

T = TypeVar("T")


class Time4VPSClient:
    """One account. `base_url` ends in `/api`; `poll_interval_s` is the least time between two looks at a task."""

    name = "time4vps"
    capabilities = frozenset(Capability)
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
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            auth=httpx.BasicAuth(login, password.get_secret_value()),
            timeout=timeout_s,
            transport=transport,
            follow_redirects=True,
        )
        self._budget = budget
        self._clock = clock
        self._poll_interval_s = poll_interval_s
        self._details: dict[int, tuple[float, ServerDetails]] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    async def list_servers(self) -> list[ListedServer]:
        return wire.listed_servers(await self._read("/server"))

    async def get_server(self, server_id: int, *, fresh: bool = False) -> ServerDetails:
        cached = self._details.get(server_id)
        if not fresh and cached is not None and self._clock.monotonic() - cached[0] < DETAILS_AGE_S:
            return cached[1]
        details = wire.server_details(server_id, await self._read(f"/server/{server_id}"))
        self._details[server_id] = (self._clock.monotonic(), details)
        return details

    async def list_os(self, server_id: int) -> list[OsTemplate]:
        return wire.os_templates(await self._read(f"/server/{server_id}/oses"))

    async def reboot(self, server_id: int) -> int:
        return await self._act(server_id, "reboot")

    async def reinstall(self, server_id: int, os: str) -> int:
        return await self._act(server_id, "reinstall", {"os": os})

    async def reset_password(self, server_id: int) -> int:
        return await self._act(server_id, "resetpassword")

    async def flush_firewall(self, server_id: int) -> int:
        return await self._act(server_id, "flushfirewall")

    async def get_task_result(self, server_id: int, task_id: int) -> ProviderTask:
        return wire.task(await self._read(f"/server/{server_id}/task/{task_id}"), task_id)

    async def wait_for_task(self, server_id: int, task_id: int, *, timeout_s: float) -> ProviderTask:
        deadline = self._clock.monotonic() + timeout_s
        while True:
            wait_s = self._poll_interval_s * random.uniform(0.9, 1.3)  # noqa: S311 - jitter
            try:
                task = await self._look_at(server_id, task_id)
                if task.is_over:
                    return task
            except ProviderThrottled as throttled:
                wait_s = throttled.wait_s
            except ProviderUnavailable:
                pass  # says nothing about the task
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                raise ProviderTaskTimeout(
                    f"Task {task_id} of server {server_id} is not over after {timeout_s:.0f} s.",
                    hint="It may still end; it is looked at again before anything else is done.",
                )
            await self._clock.sleep(min(wait_s, left_s))

    async def wait_for_password_reset(self, server_id: int, task_id: int, *, timeout_s: float = 300) -> SecretStr:
        task = await self.wait_for_task(server_id, task_id, timeout_s=timeout_s)
        password = self.password_in(task)
        if password is None:
            raise PasswordNotInResult(f"Task {task_id} of server {server_id} is over and holds no password.")
        return password

    def password_in(self, task: ProviderTask) -> SecretStr | None:
        return password_in(task.result.get_secret_value())

    async def _look_at(self, server_id: int, task_id: int) -> ProviderTask:
        """One look. A task whose id is forgotten may still stand in the server's details."""
        try:
            body = await self._once("GET", f"/server/{server_id}/task/{task_id}")
            return wire.task(body, task_id)
        except ProviderTaskUnknown:
            details = await self.get_server(server_id, fresh=True)
            if details.active_task is not None or not details.last_tasks:
                raise ProviderUnavailable("The provider does not show the task now.") from None
            return details.last_tasks[-1]

    async def _act(self, server_id: int, action: str, parameters: dict[str, Any] | None = None) -> int:
        self._details.pop(server_id, None)
        body = await self._once("POST", f"/server/{server_id}/{action}", parameters, urgent=True)
        task_id = wire.task_id(body)
        if task_id is None:
            details = await self.get_server(server_id, fresh=True)
            if details.active_task is not None:
                raise ProviderBusy(f"The provider is busy with server {server_id}: {details.active_task.name}.")
            raise ProviderRefused(f"The provider took the {action} of server {server_id} without beginning a task.")
        return task_id

    async def _read(self, path: str) -> object:
        async def call() -> object:
            return await self._once("GET", path)

        return await self._retrying(call)

    async def _retrying(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try a reading call again after a pause that doubles, with full jitter, or after what a throttle names."""
        for attempt in range(READ_TRIES):
            try:
                return await call()
            except (ProviderThrottled, ProviderUnavailable) as error:
                if attempt == READ_TRIES - 1:
                    raise
                pause_s = error.wait_s if isinstance(error, ProviderThrottled) else random.uniform(0, 2.0**attempt)  # noqa: S311
                await self._clock.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _once(
        self, method: str, path: str, parameters: dict[str, Any] | None = None, *, urgent: bool = False
    ) -> object:
        """One call within the account's budget. Raises what the answer stands for."""
        await self._budget.acquire(urgent=urgent)
        try:
            response = await self._http.request(method, path, json=parameters)
        except _NOT_SENT as error:
            raise ProviderUnavailable(
                f"The provider cannot be reached: {type(error).__name__}.", certainly_not_sent=True
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderUnavailable(f"The provider did not answer: {type(error).__name__}.") from None
        body = _json(response)
        refused = refusal(response.status_code, body)
        if isinstance(refused, ProviderThrottled):
            await self._budget.block_for(refused.wait_s)
        if refused is not None:
            raise refused
        return body


def _json(response: httpx.Response) -> object:
    """The parsed body, or None: error pages are HTML, and an empty body is no answer."""
    try:
        body: object = response.json()
    except (ValueError, RecursionError):
        return None
    return body
