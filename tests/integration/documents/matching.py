"""Whether what a command printed is what its document promises. Pure.

A document shows one night of many: numbers and ages differ, handles and words do not. `...` in a line stands for
anything; a line that is only `...` for any number of lines. White space is not compared.
"""

import re

_PIECES = re.compile(r"(vps-\d+|lzr_\w+|\d+ (?:s|min|h|d) ago|\.\.\.|…|[\d.,:+-]*\d|\s+)")


def pattern_of(expected: str) -> re.Pattern[str]:
    """A pattern for the whole output."""
    lines = [line.strip() for line in expected.strip().splitlines()]
    parts = [r"(?:.*\n)*?" if line in {"...", "…"} else _line(line) + r" ?\n" for line in lines]
    return re.compile("".join(parts))


def _line(line: str) -> str:
    return "".join(_piece(piece) for piece in _PIECES.split(line) if piece)


def _piece(piece: str) -> str:
    if re.fullmatch(r"vps-\d+", piece):
        return re.escape(piece)
    if piece.startswith("lzr_"):
        return r"lzr_[\w-]+"
    if piece.endswith(" ago"):
        return r"\d+ (?:s|min|h|d) ago"
    if piece in {"...", "…"}:
        return ".*"
    if piece.isspace():
        return " "
    return r"[\d.,:+-]*\d" if piece[-1].isdigit() else re.escape(piece)


def matches(expected: str, printed: str) -> bool:
    """Whether all of it is as promised."""
    said = "".join(" ".join(line.split()) + "\n" for line in printed.strip().splitlines())
    return pattern_of(expected).fullmatch(said or "\n") is not None
