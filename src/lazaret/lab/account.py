"""The login of the lab's account, and the gate before every call: login, then address, then throttle. Pure but time."""

import base64
import binascii
import math
import secrets
from collections import deque
from dataclasses import dataclass

from pydantic import SecretStr

from lazaret.kernel.clock import Clock
from lazaret.lab import shapes
from lazaret.lab.calls import Call, ProviderCall
from lazaret.lab.shapes import Json
from lazaret.lab.switches import (
    AddressNotAllowed,
    Switch,
    Switchboard,
    Throttle,
    ThrottleWindow,
    WrongCredentials,
)


@dataclass(frozen=True, slots=True)
class Account:
    """Who may call the API."""

    login: str
    password: SecretStr


def new_account() -> Account:
    """An account with a password of its own."""
    return Account("lab@example.net", SecretStr(secrets.token_urlsafe(18)))


class Gate:
    """Decides whether a call is let in. All refusals are 401; only the body tells them apart."""

    def __init__(self, account: Account, switches: Switchboard, clock: Clock) -> None:
        self._account = account
        self._switches = switches
        self._clock = clock
        self._recent_calls_s: deque[float] = deque()

    def refusal(self, authorization: str | None, call: ProviderCall | None) -> Json | None:
        """The body of the 401 that this call gets, or None when it is let in."""
        kind = call.kind if call is not None else None
        server_id = call.server_id if call is not None else None
        if authorization is None:
            return shapes.error("unauthorized")
        if not self._is_right(authorization) or self._switches.take(WrongCredentials, kind, server_id):
            return shapes.error("wronglogin", "unauthorized")
        if self._switches.take(AddressNotAllowed, kind, server_id):
            return shapes.error("ipnotallowed", "unauthorized")
        wait_s = self._throttled_for_s(kind, server_id)
        return shapes.error(["wait_x_between_action", wait_s], "unauthorized") if wait_s else None

    def _is_right(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        wanted = f"{self._account.login}:{self._account.password.get_secret_value()}".encode()
        return scheme.lower() == "basic" and secrets.compare_digest(given, wanted)

    def _throttled_for_s(self, kind: Call | None, server_id: int | None) -> int:
        """Whole seconds to wait, 0 when the call is let in."""
        throttle = self._switches.take(Throttle, kind, server_id)
        if throttle is not None:
            return throttle.wait_s or self._announced_wait_s(throttle)
        window = self._switches.take(ThrottleWindow, kind, server_id)
        return self._window_wait_s(window) if window is not None else 0

    def _announced_wait_s(self, throttle: Switch) -> int:
        left_s = self._switches.remaining_s(throttle)
        return math.ceil(left_s) if left_s else 5 + secrets.randbelow(56)

    def _window_wait_s(self, window: ThrottleWindow) -> int:
        now, recent = self._clock.monotonic(), self._recent_calls_s
        while recent and recent[0] <= now - window.window_s:
            recent.popleft()
        if len(recent) >= window.calls:
            return max(1, math.ceil(recent[0] + window.window_s - now))
        recent.append(now)
        return 0
