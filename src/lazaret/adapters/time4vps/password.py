"""Takes the root password out of a task's result: an HTML link that reveals it, or a plain `Password:` line. Pure."""

import html
import json
import re

from pydantic import SecretStr

_LINK = re.compile(r"this\.innerHTML\s*=\s*(?P<quote>\"|&quot;)(?P<value>.*?)(?P=quote)\s*(?:;|'|&#0?39;)", re.DOTALL)
_LABEL = re.compile(r"Password:[^\S\n]*(?P<value>[^\n]*)")


def password_in(result: str) -> SecretStr | None:
    """The password, or None when the text holds none that could be one."""
    link = _LINK.search(result)
    if link is not None:
        return _clean(_unescape_script(html.unescape(link["value"])))
    for label in _LABEL.finditer(result):
        value = _clean(html.unescape(label["value"]))
        if value is not None:
            return value
    return None


def _unescape_script(value: str) -> str:
    """Backslash escapes of a JavaScript string."""
    if "\\" not in value:
        return value
    try:
        return str(json.loads(f'"{value}"'))
    except ValueError:
        return re.sub(r"\\(.)", r"\1", value)


def _clean(value: str) -> SecretStr | None:
    text = value.strip()
    return SecretStr(text) if text and not text.startswith("<") else None
