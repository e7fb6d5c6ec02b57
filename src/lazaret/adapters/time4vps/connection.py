"""One call to the provider over HTTP: within the account's budget, sent once, its answer judged.

Never repeats anything; that is for whoever knows what the call means.
"""

import asyncio
import base64
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic import SecretStr

from lazaret.adapters.time4vps.counting import NO_BUDGET, action_of, counted, noted
from lazaret.adapters.time4vps.refusals import of_reading, refusal
from lazaret.kernel.metrics import PROVIDER_CALLS
from lazaret.servers.provider import CallBudget, ProviderThrottled, ProviderUnavailable

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL)
_SLOWEST = 4
"""A call may take so many times its time-out in all, however steadily its answer trickles in."""


class AccountConnection:
    """HTTP as one account. `timeout_s` bounds connecting and each wait for more of an answer."""

    def __init__(
        self,
        *,
        base_url: str,
        login: str,
        password: SecretStr,
        budget: CallBudget,
        timeout_s: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            auth=httpx.BasicAuth(login, password.get_secret_value()),
            timeout=timeout_s,
            transport=transport,
        )
        self._budget = budget
        self._timeout_s = timeout_s
        self.providers_date: datetime | None = None
        """What the provider's clock said in its last answer, in whole seconds."""
        basic = base64.b64encode(f"{login}:{password.get_secret_value()}".encode()).decode()
        self._secrets = (SecretStr(basic), password)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def get(self, path: str, *, within_s: float) -> object:
        """The parsed answer. Raises `ProviderThrottled` when the budget has no call within `within_s` seconds."""
        return await self._call("GET", path, None, urgent=False, within_s=within_s)

    async def post(self, path: str, parameters: dict[str, Any] | None, *, within_s: float) -> object:
        """The same for a call that changes something; it may use the budget's reserve, and follows no redirection."""
        return await self._call("POST", path, parameters, urgent=True, within_s=within_s)

    async def _call(
        self, method: str, path: str, parameters: dict[str, Any] | None, *, urgent: bool, within_s: float
    ) -> object:
        action = action_of(method, path)
        try:
            await self._budget.acquire(urgent=urgent, within_s=within_s)
        except ProviderThrottled:
            PROVIDER_CALLS.labels(action=action, outcome=NO_BUDGET).inc()
            raise
        with counted(action), noted(method, path):
            return await self._make(method, path, parameters)

    async def _make(self, method: str, path: str, parameters: dict[str, Any] | None) -> object:
        response = await self._exchange(method, path, parameters)
        self.providers_date = _date_of(response)
        body = _json(response)
        secrets = [secret.get_secret_value() for secret in self._secrets]
        refused = refusal(response.status_code, body, response.text if body is None else "", secrets)
        if method == "GET":
            refused = of_reading(response.status_code, refused)
        if isinstance(refused, ProviderThrottled):
            await self._budget.block_for(refused.wait_s)
        if refused is not None:
            raise refused
        return body

    async def _exchange(self, method: str, path: str, parameters: dict[str, Any] | None) -> httpx.Response:
        try:
            async with asyncio.timeout(_SLOWEST * self._timeout_s):
                return await self._http.request(method, path, json=parameters, follow_redirects=method == "GET")
        except _NOT_SENT as error:
            raise ProviderUnavailable(
                f"The provider cannot be reached: {type(error).__name__}.",
                certainly_not_sent=True,
                hint="Check TIME4VPS_BASE_URL and the network.",
            ) from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProviderUnavailable(f"The provider did not answer: {type(error).__name__}.") from None


def _date_of(response: httpx.Response) -> datetime | None:
    try:
        said = parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def _json(response: httpx.Response) -> object:
    """The parsed body, or None: error pages are HTML, and an empty body is no answer."""
    try:
        body: object = response.json()
    except (ValueError, RecursionError):
        return None
    return body
