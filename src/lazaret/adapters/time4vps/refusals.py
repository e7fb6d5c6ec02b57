"""What a refusal of the provider's means, decided by its body and never by its status alone. Pure."""

import re
from collections.abc import Iterator

from lazaret.servers.provider import (
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderError,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
)

DEFAULT_WAIT_S = 30.0
LONGEST_WAIT_S = 600.0
_SHOWN = 200
"""Characters of an error that are shown; pages of HTML are long."""


def refusal(status: int, body: object) -> ProviderError | None:
    """The error that this answer stands for, or None when it is a good one.

    `body` is the parsed JSON, or None where there was none. An `error` key is a failure whatever the status says.
    """
    words = list(_words(body.get("error"))) if isinstance(body, dict) and body.get("error") else []
    if words:
        return _by_words(status, words)
    if status == 401:
        return ProviderLoginRefused("The provider refuses the login.", hint="Check TIME4VPS_LOGIN and its password.")
    if status == 404:
        return ProviderRefused("The provider does not know this server or call.")
    if status >= 400:
        return ProviderUnavailable(f"The provider answered with status {status}.")
    if body is None:
        return ProviderUnavailable("The provider's answer is not JSON.")
    return None


def _by_words(status: int, words: list[str | float]) -> ProviderError:
    texts = [word for word in words if isinstance(word, str)]
    if any("wait_x" in text for text in texts):
        return ProviderThrottled("The provider asks for fewer calls.", wait_s=_wait_s(words))
    if "ipnotallowed" in texts:
        return ProviderAddressNotAllowed(
            "The provider does not accept calls from this machine's address.",
            hint="Add the address to the API's allowlist in the client area.",
        )
    if "wronglogin" in texts or texts == ["unauthorized"]:
        return ProviderLoginRefused("The provider refuses the login.", hint="Check TIME4VPS_LOGIN and its password.")
    return _of_call(status, texts)


def _of_call(status: int, texts: list[str]) -> ProviderError:
    """The login was accepted; this one call was refused."""
    shown = re.sub(r"<[^>]*>", " ", "; ".join(texts))[:_SHOWN] or f"status {status}"
    if texts and texts[0].strip().lower() == "invalid task id":
        return ProviderTaskUnknown(f"The provider does not know that task: {shown}.")
    if any(word in shown.lower() for word in ("busy", "active task", "in progress", "another task", "already running")):
        return ProviderBusy(f"The provider is busy with this server: {shown}.")
    if status >= 500:
        return ProviderUnavailable(f"The provider failed: {shown}.")
    return ProviderRefused(f"The provider refused: {shown}.")


def _wait_s(words: list[str | float]) -> float:
    """The number that comes with the throttle; never negative, never for ever."""
    numbers = [word for word in words if isinstance(word, float)]
    numbers += [float(word) for word in words if isinstance(word, str) and re.fullmatch(r"\d{1,6}(\.\d+)?", word)]
    return min(max(numbers[0], 1.0), LONGEST_WAIT_S) if numbers else DEFAULT_WAIT_S


def _words(error: object, depth: int = 0) -> Iterator[str | float]:
    """Every text and number in an error, which may be a text, a list, or lists within lists."""
    if isinstance(error, str):
        yield error
    elif isinstance(error, bool):
        return
    elif isinstance(error, int | float):
        yield float(error) if abs(error) < 1e9 else LONGEST_WAIT_S
    elif depth < 5:
        for item in error.values() if isinstance(error, dict) else error if isinstance(error, list) else ():
            yield from _words(item, depth + 1)
