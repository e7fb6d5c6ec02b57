"""What a refusal of the provider's means, decided by its body and never by its status alone. Pure.

Owns also what of such an answer may be shown: short, without markup, without a password.
"""

import html
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

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
SHOWN = 200
"""Characters of an error that are shown; pages of HTML are long."""

_BUSY = ("busy", "active task", "in progress", "another task", "already running")
_TITLE = re.compile(r"<title[^>]*>(.{0,1000}?)</title", re.IGNORECASE | re.DOTALL)
_LABELLED = re.compile(r"(password|authorization|basic)\b\s*[:=]?\s*\S.*", re.IGNORECASE | re.DOTALL)


def refusal(status: int, body: object, text: str = "", secrets: Sequence[str] = ()) -> ProviderError | None:
    """The error that this answer stands for, or None when it is a good one.

    `body` is the parsed JSON, or None where there was none; then `text` is what stood there. An `error` is a failure
    whatever the status says. `secrets` never get into a message.
    """
    error = body.get("error") if isinstance(body, dict) else None
    if error:
        return _by_words(status, list(_words(error)), secrets)
    if status >= 300:
        return _by_status(status, text, secrets)
    return ProviderUnavailable("The provider's answer is not JSON.") if body is None else None


def of_reading(status: int, refused: ProviderError | None) -> ProviderError | None:
    """The same for a reading call: a no under a status that says that all is well is no answer, and may pass.

    To an action it is the answer, for such a call must not be sent again.
    """
    if status < 300 and type(refused) in (ProviderRefused, ProviderBusy):
        assert refused is not None
        return ProviderUnavailable(refused.message)
    return refused


def shown(text: str, secrets: Sequence[str] = ()) -> str:
    """A short form of the provider's words that may stand in a message and a log."""
    plain = re.sub(r"<[^>]*>", " ", _without(text, secrets))
    plain = " ".join(_without(html.unescape(plain), secrets).split())
    return _LABELLED.sub(r"\1 [hidden]", plain)[:SHOWN].rstrip(". ")


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in filter(None, secrets):
        for spelling in (secret, html.escape(secret), quote(secret, safe="")):
            text = text.replace(spelling, "[hidden]")
    return text


def _by_status(status: int, text: str, secrets: Sequence[str]) -> ProviderError:
    """Nothing but the status is to be had, and perhaps the title of a page."""
    if status == 401:
        return _login_refused()
    if status == 429:
        return ProviderThrottled("The provider asks for fewer calls.", wait_s=DEFAULT_WAIT_S)
    if status == 404:
        return ProviderRefused("The provider does not know this server or call.")
    title = _TITLE.search(text[: SHOWN * 50])
    named = f": {shown(title[1], secrets)}" if title else ""
    return ProviderUnavailable(f"The provider answered with status {status}{named}.")


def _by_words(status: int, words: list[str | float], secrets: Sequence[str]) -> ProviderError:
    texts = [word.strip() for word in words if isinstance(word, str)]
    reasons = [text.lower() for text in texts]
    if any("wait_x" in reason for reason in reasons):
        return ProviderThrottled("The provider asks for fewer calls.", wait_s=_wait_s(words))
    if "ipnotallowed" in reasons:
        return ProviderAddressNotAllowed(
            "The provider does not accept calls from this machine's address.",
            hint="Add the address to the API's allowlist in the client area.",
        )
    said = shown("; ".join(texts), secrets) or f"status {status}"
    if "wronglogin" in reasons or "unauthorized" in reasons:
        return _login_refused("" if reasons in (["wronglogin", "unauthorized"], ["unauthorized"]) else said)
    return _of_call(status, reasons, said)


def _login_refused(said: str = "") -> ProviderError:
    """Also for reasons that are not known: whoever repeats a refused login may lock the account."""
    return ProviderLoginRefused(
        f"The provider refuses the login{': ' + said if said else ''}.",
        hint="Check TIME4VPS_LOGIN and TIME4VPS_PASSWORD.",
    )


def _of_call(status: int, reasons: list[str], said: str) -> ProviderError:
    """The login was accepted; this one call was refused."""
    if reasons and reasons[0] == "invalid task id":
        return ProviderTaskUnknown(f"The provider does not know that task: {said}.")
    if any(word in reason for word in _BUSY for reason in reasons):
        return ProviderBusy(f"The provider is busy with this server: {said}.")
    if status >= 500:
        return ProviderUnavailable(f"The provider failed: {said}.")
    return ProviderRefused(f"The provider refused: {said}.")


def _wait_s(words: list[str | float]) -> float:
    """The number that comes with the throttle; never negative, never for ever."""
    numbers = [word for word in words if isinstance(word, float)]
    numbers += [float(word) for word in words if isinstance(word, str) and re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", word)]
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
