"""Takes the root password out of a task's result: an HTML link that reveals it, or a plain `Password:` line. Pure."""

import html
import re
import unicodedata

from pydantic import SecretStr

LONGEST_RESULT = 16_384
"""Characters of a result that are looked at; of a longer log, the end, where the password stands."""

_QUOTE = r'this\.innerHTML\s*=\s*(?P<quote>"|&quot;)'
_END = r"(?P=quote)\s*(?:;|'|&\#0*39;|&\#[xX]0*27;)"
_LINKS = (
    re.compile(rf"{_QUOTE}(?P<value>(?:\\.|(?!{_END})[^\\])*+){_END}", re.DOTALL),
    re.compile(rf"{_QUOTE}(?P<value>.*?){_END}", re.DOTALL),
)
"""First with backslash escapes, as JavaScript reads it; else as it stands, for a password that ends in a backslash."""
_LABEL = re.compile(r"Password:[^\S\n]*(?P<value>[^\n]*)")
_ESCAPE = re.compile(r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|u(?P<unit>[0-9a-fA-F]{4})|(?P<char>.))", re.DOTALL)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}


def password_in(result: str) -> SecretStr | None:
    """The password, or None when the text holds none that could be one."""
    text = result[-LONGEST_RESULT:]
    for pattern in _LINKS:
        link = pattern.search(text)
        if link is not None:
            return _clean(_unescape_script(html.unescape(link["value"])))
    for label in _LABEL.finditer(text):
        value = _clean(html.unescape(label["value"]))
        if value is not None:
            return value
    return None


def _unescape_script(value: str) -> str:
    """Backslash escapes of a JavaScript string."""
    return _ESCAPE.sub(_unescaped, value)


def _unescaped(escape: re.Match[str]) -> str:
    code = escape["byte"] or escape["unit"]
    return chr(int(code, 16)) if code else _CONTROLS.get(escape["char"], escape["char"])


def _clean(value: str) -> SecretStr | None:
    """Trimmed; None for a tag, and for what nobody could type at a login."""
    text = value.strip()
    if not text or text.startswith("<") or any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
        return None
    return SecretStr(text)
