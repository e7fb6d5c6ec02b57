"""What the API takes and gives: shared pieces of requests and answers."""

import math
import re
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

from lazaret.kernel.texts import LONGEST, has_control

INT64_MAX = 2**63 - 1


def _on_one_line(text: str) -> str:
    if has_control(text):
        raise ValueError("must not contain control characters or ends of lines")
    return text


def _on_lines(text: str) -> str:
    if has_control(text, lines=True):
        raise ValueError("must not contain control characters")
    return text


def _digits(value: Any) -> Any:
    """Numbers in addresses are read as they are written: no spaces, signs or underscores."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,19}", value):
        raise ValueError("must be a number, in digits only")
    return value


DEEPEST = 20


def _storable(value: Any, depth: int = 0) -> Any:
    """What a column of JSON can hold and a program can read again."""
    if depth > DEEPEST:
        raise ValueError(f"must not be nested more than {DEEPEST} levels deep")
    if isinstance(value, str) and any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in value):
        raise ValueError("must not contain NUL characters or halves of characters")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must not contain numbers that are not finite")
    if isinstance(value, dict):
        for name, one in value.items():
            _storable(name, depth + 1)
            _storable(one, depth + 1)
    if isinstance(value, list):
        for one in value:
            _storable(one, depth + 1)
    return value


Facts = Annotated[dict[str, Any], AfterValidator(_storable)]
"""An object of anything that can be stored."""
Names = Annotated[list[Any], AfterValidator(_storable)]
ShortText = Annotated[str, StringConstraints(max_length=LONGEST, strip_whitespace=True), AfterValidator(_on_one_line)]
SomeText = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST, strip_whitespace=True), AfterValidator(_on_one_line)
]
"""What may be left out, but not be empty: an empty filter is a variable that was not set, and would mean everything."""
LongText = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_on_lines)]
Digits = BeforeValidator(_digits)
"""Of a number in a path or a query."""
Id = Annotated[int, Path(ge=1, le=INT64_MAX), Digits]
Handle = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="For example `vps-267179`.")]


class Request(BaseModel):
    """A body; unknown fields are errors, because a misspelt one must not silently do nothing."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """An answer made from a row."""

    model_config = ConfigDict(from_attributes=True)


class Window(BaseModel):
    """Which part of a list."""

    limit: int
    offset: int


def _window(
    limit: Annotated[int, Query(ge=1, le=500), Digits] = 100,
    offset: Annotated[int, Query(ge=0, le=INT64_MAX), Digits] = 0,
) -> Window:
    return Window(limit=limit, offset=offset)


WindowDep = Annotated[Window, Depends(_window)]

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    total: int
    """How many there are in all."""
    limit: int
    offset: int
