"""What a button carries: which act on which thing, for whom, until when, signed. Pure.

A button is a key that lies in a chat: it opens one act on one thing (an incident, one approval) for the one person to
whom it was shown, until it expires. What that person's role allows is asked anew when it is pressed.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import SecretStr

from lazaret.kernel.errors import Forbidden

LONGEST = 64
"""Bytes that Telegram lets a button carry."""
MAC_BYTES = 15


class Act(StrEnum):
    """What a button does; one letter each, for room is scarce."""

    ACKNOWLEDGE = "a"
    SNOOZE_1H = "s"
    SNOOZE_4H = "l"
    APPROVE = "y"
    DENY = "n"
    WHY = "w"
    PAGE = "p"


@dataclass(frozen=True, slots=True)
class Press:
    """A button that was proved to be ours."""

    act: Act
    subject: str
    """What the act is about: an id, or a short text without a colon."""
    user: int
    """The Telegram id of the person to whom it was shown."""
    expires_at: datetime


class ForgedButton(Forbidden):
    """The button is not one of ours, or not this person's."""

    code = "button_forged"


class ExpiredButton(Forbidden):
    """The button is too old."""

    code = "button_expired"


class Signer:
    """Signs and reads what buttons carry. The key is derived from Lazaret's own, so that it serves no other purpose."""

    def __init__(self, key: SecretStr) -> None:
        self._key = hmac.digest(key.get_secret_value().encode(), b"lazaret telegram buttons", "sha256")

    def sign(self, press: Press) -> str:
        """At most 64 bytes. Raises `ValueError` for a subject that is too long or has a colon."""
        if ":" in press.subject:
            raise ValueError("the subject of a button has no colon")
        body = f"{press.act}:{press.subject}:{int(press.expires_at.timestamp()):x}"
        text = f"{body}:{self._mac(body, press.user)}"
        if len(text.encode()) > LONGEST:
            raise ValueError("the subject of a button is too long")
        return text

    def read(self, text: str, *, user: int, at: datetime) -> Press:
        """What was signed for this person. Raises `ForgedButton` and `ExpiredButton`."""
        body, _, mac = text.rpartition(":")
        if not hmac.compare_digest(mac.encode("utf-8", "surrogatepass"), self._mac(body, user).encode()):
            raise ForgedButton("This button is not yours, or not one of Lazaret's.", hint="Use one in your own chat.")
        act, subject, expires = body.split(":")
        expires_at = datetime.fromtimestamp(int(expires, 16), UTC)
        if expires_at <= at:
            raise ExpiredButton("This button has expired.", hint="Ask anew, for example with /incidents.")
        return Press(Act(act), subject, user, expires_at)

    def _mac(self, body: str, user: int) -> str:
        digest = hmac.new(self._key, f"{user}|{body}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:MAC_BYTES]).decode()
