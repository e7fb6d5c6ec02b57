"""MarkdownV2 as Telegram reads it: text and entities, or the refusal in Telegram's words. Pure.

Source: https://core.telegram.org/bots/api#markdownv2-style
"""

from dataclasses import dataclass, field

RESERVED = frozenset("_*[]()~`>#+-=|{}.!")
_MARKS = {"*": "bold", "_": "italic", "__": "underline", "~": "strikethrough", "||": "spoiler"}
_TITLES = {
    "bold": "Bold",
    "italic": "Italic",
    "underline": "Underline",
    "strikethrough": "Strikethrough",
    "spoiler": "Spoiler",
    "text_link": "TextUrl",
}


class MarkupError(Exception):
    """The markup cannot be read; the text is Telegram's."""


@dataclass(frozen=True, slots=True)
class Entity:
    """A stretch of text that looks in some way; offset and length are in UTF-16 code units."""

    type: str
    offset: int
    length: int
    url: str = ""
    language: str = ""

    def as_json(self) -> dict[str, object]:
        """As the Bot API shows it."""
        body: dict[str, object] = {"type": self.type, "offset": self.offset, "length": self.length}
        return body | ({"url": self.url} if self.url else {}) | ({"language": self.language} if self.language else {})


def utf16(text: str) -> int:
    """Length in UTF-16 code units, which is how Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parse_markdown(source: str) -> tuple[str, list[Entity]]:
    """Text and entities. Raises `MarkupError`."""
    return _Reader(source).read()


@dataclass
class _Reader:
    source: str
    at: int = 0
    text: str = ""
    entities: list[Entity] = field(default_factory=list)
    open: list[tuple[str, int, int]] = field(default_factory=list)
    """Type, offset in the text, byte offset in the source."""

    def read(self) -> tuple[str, list[Entity]]:
        while self.at < len(self.source):
            self._step()
        if self.open:
            kind, _, where = self.open[-1]
            raise MarkupError(f"Can't find end of {_TITLES[kind]} entity at byte offset {where}")
        return self.text, sorted(self.entities, key=lambda one: (one.offset, -one.length))

    def _step(self) -> None:
        char = self.source[self.at]
        if char == "\\" and self.at + 1 < len(self.source) and ord(self.source[self.at + 1]) < 127:
            self.text += self.source[self.at + 1]
            self.at += 2
        elif char == "`":
            self._code()
        elif (mark := self._mark()) is not None:
            self._toggle(mark)
        elif char == "[":
            self._open("text_link", 1)
        elif char == "]" and self.open and self.open[-1][0] == "text_link":
            self._link()
        elif char == ">" and (not self.text or self.text.endswith("\n")):
            self.at += 1
        elif char in RESERVED:
            raise MarkupError(f"Character '{char}' is reserved and must be escaped with the preceding '\\'")
        else:
            self.text += char
            self.at += 1

    def _mark(self) -> str | None:
        two = self.source[self.at : self.at + 2]
        if two in _MARKS:
            return two
        return self.source[self.at] if self.source[self.at] in _MARKS else None

    def _toggle(self, mark: str) -> None:
        kind = _MARKS[mark]
        if self.open and self.open[-1][0] == kind:
            self.at += len(mark)
            self._close()
        elif any(one[0] == kind for one in self.open):
            top, _, where = self.open[-1]
            raise MarkupError(f"Can't find end of {_TITLES[top]} entity at byte offset {where}")
        else:
            self._open(kind, len(mark))

    def _open(self, kind: str, width: int) -> None:
        self.open.append((kind, utf16(self.text), len(self.source[: self.at].encode())))
        self.at += width

    def _close(self, **more: str) -> None:
        kind, offset, _ = self.open.pop()
        self._add(kind, offset, **more)

    def _add(self, kind: str, offset: int, **more: str) -> None:
        length = utf16(self.text) - offset
        if length:
            self.entities.append(Entity(kind, offset, length, **more))

    def _code(self) -> None:
        where, offset = len(self.source[: self.at].encode()), utf16(self.text)
        fence = "```" if self.source.startswith("```", self.at) else "`"
        inside, end = self._until(fence, self.at + len(fence))
        if end < 0:
            name = "Pre" if fence == "```" else "Code"
            raise MarkupError(f"Can't find end of {name} entity at byte offset {where}")
        language, _, rest = inside.partition("\n")
        has_language = fence == "```" and rest and language.isidentifier()
        self.text += rest if has_language else inside
        self.at = end + len(fence)
        self._add("pre" if fence == "```" else "code", offset, language=language if has_language else "")

    def _link(self) -> None:
        if not self.source.startswith("](", self.at):
            raise MarkupError("Character ']' is reserved and must be escaped with the preceding '\\'")
        url, end = self._until(")", self.at + 2)
        if end < 0:
            raise MarkupError(f"Can't find end of a URL at byte offset {len(self.source[: self.at].encode())}")
        self.at = end + 1
        self._close(url=url)

    def _until(self, end: str, start: int) -> tuple[str, int]:
        """What stands before `end`, unescaped, and where that is; -1 when it is nowhere."""
        inside, at = "", start
        while at < len(self.source):
            if self.source.startswith(end, at):
                return inside, at
            if self.source[at] == "\\" and at + 1 < len(self.source) and ord(self.source[at + 1]) < 127:
                at += 1
            inside += self.source[at]
            at += 1
        return inside, -1
