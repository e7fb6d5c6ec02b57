"""Text with markup, and the same text without: made together, so that neither can lag behind. Pure.

The markup is Telegram's MarkdownV2 (https://core.telegram.org/bots/api#markdownv2-style).
"""

from collections.abc import Iterable
from dataclasses import dataclass

_SPECIAL = frozenset("_*[]()~`>#+-=|{}.!\\")


@dataclass(frozen=True, slots=True)
class Rich:
    """One text twice: with markup, and plain. Texts are added with `+`."""

    markdown: str
    plain: str

    def __add__(self, other: "Rich") -> "Rich":
        return Rich(self.markdown + other.markdown, self.plain + other.plain)


def text(content: object) -> Rich:
    """Anything, shown as it is."""
    plain = str(content)
    return Rich("".join(f"\\{char}" if char in _SPECIAL else char for char in plain), plain)


def bold(content: object) -> Rich:
    """In bold."""
    inner = text(content)
    return Rich(f"*{inner.markdown}*", inner.plain) if inner.plain.strip() else inner


def code(content: object) -> Rich:
    """A name or a command, to be copied with one touch."""
    plain = str(content)
    inside = plain.replace("\\", "\\\\").replace("`", "\\`")
    return Rich(f"`{inside}`", plain) if plain.strip() else text(plain)


def link(content: object, url: str) -> Rich:
    """A text that opens an address."""
    inner = text(content)
    target = url.replace("\\", "\\\\").replace(")", "\\)")
    return Rich(f"[{inner.markdown}]({target})", f"{inner.plain} ({url})")


def lines(parts: Iterable[Rich]) -> Rich:
    """One below the other."""
    found = list(parts)
    return Rich("\n".join(part.markdown for part in found), "\n".join(part.plain for part in found))


LONGEST = 4096
"""UTF-16 code units of one message: https://core.telegram.org/bots/api#sendmessage"""


def fitting(plain: str) -> str:
    """The text, cut to what one message holds."""
    encoded = plain.encode("utf-16-le", "surrogatepass")
    if len(encoded) // 2 <= LONGEST:
        return plain
    return encoded[: (LONGEST - 1) * 2].decode("utf-16-le", "ignore") + "…"
