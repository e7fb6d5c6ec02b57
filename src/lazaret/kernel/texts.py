"""What a short text from outside may be, the same at every edge, and how any text is shown without harm. Pure."""

import re

LONGEST = 200
"""Characters of a name, a reason, a note or a search."""

_LINES = frozenset("\t\n\r")
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What commands a terminal instead of being read: controls, ends of lines, turns of direction, halves of characters."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL refuses in a text and in JSON: NUL, and halves of characters."""


def has_control(text: str, *, lines: bool = False) -> bool:
    """Whether a text holds control characters; with `lines` those between lines do not count."""
    return any(not lines or found not in _LINES for found in _COMMANDS.findall(text))


def printable(text: str) -> str:
    """The text as a terminal may have it: control characters are spelt out (`\\x1b`), lines stay lines."""
    return _COMMANDS.sub(_spelt, text.replace("\r\n", "\n"))


def printable_json(text: str) -> str:
    """The same for JSON, whose strings have a spelling of their own."""
    return _COMMANDS.sub(lambda found: _spelt(found) if found[0] in _LINES else f"\\u{ord(found[0]):04x}", text)


def storable(text: str) -> str:
    """The text as a table can hold it. A mark stands for what cannot be kept: left out, its neighbours would join."""
    return _UNSTORABLE.sub("\ufffd", text)


def _spelt(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\t\n" else ascii(found[0])[1:-1]
