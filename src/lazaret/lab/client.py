"""The lab's control API, called from the command line. Turns problem details back into errors."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from lazaret.kernel.errors import Conflict, InvalidInput, LazaretError, NotFound, Unavailable

_ERRORS: dict[int, type[LazaretError]] = {404: NotFound, 409: Conflict, 422: InvalidInput}
_TIMEOUT_S = 120.0
"""Adding a real host copies its disk."""


class LabClient:
    """Calls one lab. Proxies of the environment are ignored: the lab is on this machine."""

    def __init__(self, root_url: str) -> None:
        self._http = httpx.Client(base_url=f"{root_url}/lab", timeout=_TIMEOUT_S, trust_env=False)

    def health(self) -> dict[str, Any] | None:
        """How far the start has come; None while nothing answers."""
        try:
            answer = self._http.get("/health", timeout=5)
            health: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return None
        return health

    def servers(self) -> list[dict[str, Any]]:
        """One row per server."""
        rows: list[dict[str, Any]] = self._call("GET", "/servers")
        return rows

    def add(self, *, os: str | None, label: str) -> dict[str, Any]:
        """Rent one more; returns its row."""
        row: dict[str, Any] = self._call("POST", "/servers", {"os": os, "label": label})
        return row

    def remove(self, server_id: int) -> None:
        """End the contract."""
        self._call("DELETE", f"/servers/{server_id}")

    def do(self, server_id: int, verb: str) -> dict[str, Any]:
        """`power-off`, `power-on`, `end-task`; returns the row afterwards."""
        row: dict[str, Any] = self._call("POST", f"/servers/{server_id}/{verb}")
        return row

    def faults(self) -> dict[str, Any]:
        """`on`: what each server has; `known`: the table, with parameters, what ends each, and which hosts play it."""
        found: dict[str, Any] = self._call("GET", "/faults")
        return found

    def inflict(self, server_id: int, name: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        """Let a server have a fault; returns its row of `on`."""
        row: dict[str, Any] = self._call("POST", f"/servers/{server_id}/faults", {**parameters, "name": name})
        return row

    def heal(self, server_id: int, name: str | None) -> list[str]:
        """End one fault of a server, or all; returns their names."""
        path = f"/servers/{server_id}/faults" + (f"/{quote(name, safe='')}" if name else "")
        healed: list[str] = self._call("DELETE", path)["healed"]
        return healed

    def switches(self) -> dict[str, Any]:
        """`on`: what is on; `known`: all names."""
        found: dict[str, Any] = self._call("GET", "/switches")
        return found

    def set_switch(self, switch: Mapping[str, Any]) -> None:
        """Turn one on."""
        self._call("POST", "/switches", dict(switch))

    def clear_switches(self, name: str | None) -> None:
        """Turn one off, or all."""
        self._call("DELETE", f"/switches/{name}" if name else "/switches")

    def journal(self, query: Mapping[str, str]) -> dict[str, Any]:
        """`entries` that match, and `reads`, the number of reading calls by kind."""
        found: dict[str, Any] = self._call("GET", "/journal", query=query)
        return found

    def _call(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Any:  # whatever JSON the call answers
        try:
            answer = self._http.request(method, path, json=body, params=dict(query or {}))
        except httpx.HTTPError as error:
            raise Unavailable(
                f"The lab does not answer: {type(error).__name__}.", hint="Take it up again: lazaret lab up"
            ) from None
        if answer.status_code >= 400:
            raise _error(answer)
        return answer.json() if answer.content else None


def _error(answer: httpx.Response) -> LazaretError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    kind = _ERRORS.get(answer.status_code, Unavailable)
    return kind(str(problem.get("detail", f"The lab answers {answer.status_code}.")), hint=str(problem.get("hint", "")))
