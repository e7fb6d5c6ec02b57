"""YAML as plain data: texts, whole numbers, booleans, nothing, lists and mappings; bounded while it is read. Pure.

Not PyYAML's loader: that follows aliases, goes as deep as the text and raises what it likes.
"""

import re
from typing import Any

import yaml

DEEPEST = 20
MOST_VALUES = 2000
_NOTHING = re.compile(r"|~|null|Null|NULL")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotPlain(ValueError):
    """The text is no YAML, or more than plain data. Names the line, never what stands there."""


def read_yaml(text: str) -> Any:
    """What the text holds. `0.5`, `yes` and `2001-01-01` are texts. Raises `NotPlain`."""
    try:
        return _Reader(text).document()
    except NotPlain:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        raise NotPlain("is no YAML") from None


def write_yaml(content: Any) -> str:
    """The same for every reader of YAML: each text stands in quotes."""
    return yaml.dump(content, Dumper=_Writer, sort_keys=False, width=1_000_000)


class _Scanner(yaml.SafeLoader):
    """Looks ahead by a thousand characters; of brackets that would be a thousand levels."""

    def fetch_flow_collection_start(self, TokenClass: type[Any]) -> None:
        if self.flow_level > DEEPEST:
            raise NotPlain(f"line {self.line + 1}: is nested too deep")
        super().fetch_flow_collection_start(TokenClass)


class _Reader:
    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_Scanner)
        self._values = 0

    def document(self) -> Any:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        content = self._value(next(self._events), depth=0)
        next(self._events)
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _refused(after, "one document is enough")
        return content

    def _value(self, event: yaml.Event, *, depth: int) -> Any:
        self._values += 1
        if self._values > MOST_VALUES:
            raise _refused(event, f"is more than {MOST_VALUES} values")
        if depth > DEEPEST:
            raise _refused(event, "is nested too deep")
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "aliases are not read: write out what is meant")
        if getattr(event, "tag", None) is not None:
            raise _refused(event, "tags are not read: leave them out")
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(depth + 1)
        return self._mapping(depth + 1)

    def _list(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, depth=depth))
        return found

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise _refused(event, "a key is one word")
            key = _text(event)
            if key in found:
                raise _refused(event, "this key stands twice")
            found[key] = self._value(next(self._events), depth=depth)
        return found


def _plain(event: yaml.ScalarEvent) -> Any:
    text = _text(event)
    if not event.implicit[0]:
        return text
    if _NOTHING.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    return int(text) if _WHOLE.fullmatch(text) else text


def _text(event: yaml.ScalarEvent) -> str:
    text = str(event.value)
    if _UNSTORABLE.search(text):
        raise _refused(event, "holds what is no character")
    return text


def _refused(event: yaml.Event, why: str) -> NotPlain:
    mark = event.start_mark
    return NotPlain(f"line {mark.line + 1}: {why}" if mark else why)


class _Writer(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's name
        return True


_Writer.add_representer(str, lambda writer, text: writer.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
