"""Sentences that were raised or stored in English, read in another language.

Errors, reasons and log lines are made where they happen, with their values already in them. Here the template behind
such a sentence is found among those of the catalogue (`There is no server {handle}.`), so that no room has to carry
templates about. What is not found stays English. Pure.
"""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from gettext import GNUTranslations, NullTranslations

FEWEST_LETTERS = 5
"""A template with fewer letters of its own would be found in everything."""
KEY = 4
"""So many letters of a beginning choose the templates that are tried."""
MOST_PIECES = 12
LONGEST = 2000
_ID, _NUMBER = re.compile(r"(\w+_)?id\d?"), r"\d+"
"""Ids are numbers: knowing that tells many templates apart."""
_SENTENCES = re.compile(r"(?<=[.:;!?]) ")

Word = Callable[[str], str]
"""Says a value in the other language."""


@dataclass(frozen=True, slots=True)
class _Template:
    letters: int
    """Of its own: the more, the surer."""
    begins: str
    ends: str
    pattern: re.Pattern[str]
    translation: str


def translated(english: str, words: NullTranslations, word: Word) -> str:
    """The sentence, or sentences, in the language of `words`; values in it are said by `word`."""
    if not isinstance(words, GNUTranslations) or not english or len(english) > LONGEST:
        return english
    whole = _one(english, words, word)
    return whole if whole is not None else _several(english, words, word)


def _several(english: str, words: GNUTranslations, word: Word) -> str:
    """Piece by piece: the longest run of pieces that is known goes first."""
    pieces = _SENTENCES.split(english)[:MOST_PIECES]
    rest = english[len(" ".join(pieces)) :]
    said: list[str] = []
    while pieces:
        for count in range(len(pieces), 0, -1):
            found = _one(" ".join(pieces[:count]), words, word)
            if found is not None:
                break
        said.append(found if found is not None else pieces[0])
        del pieces[:count]
    return " ".join(said) + rest


def _one(english: str, words: GNUTranslations, word: Word) -> str | None:
    exact = _exact(english, words)
    if exact is not None:
        return exact
    table = _templates(words)
    likely = (*table.get(english[:KEY], ()), *table.get("", ()))
    for one in sorted(likely, key=lambda one: -one.letters):
        if english.startswith(one.begins) and english.endswith(one.ends):
            found = one.pattern.fullmatch(english)
            if found is not None:
                values = {name: _inside(value, word) for name, value in found.groupdict().items()}
                return one.translation.format(**values)
    bare = english.rstrip(".:;")
    known = word(bare) if bare != english and " " not in bare else bare
    return known + english[len(bare) :] if known != bare else None


def _inside(value: str, word: Word) -> str:
    """A value, with the spaces around it left where they are."""
    bare = value.strip()
    return value.replace(bare, word(bare), 1) if bare else value


def _exact(english: str, words: GNUTranslations) -> str | None:
    """A text without values, whether or not it begins a sentence or ends one."""
    for one in (english, english.removesuffix(".")):
        said = words.gettext(one)
        if said != one:
            return said + english[len(one) :]
    return None


@cache
def _templates(words: GNUTranslations) -> Mapping[str, tuple[_Template, ...]]:
    """By how they begin; an empty text: with a value."""
    catalogue: Mapping[object, str] = words._catalog  # type: ignore[attr-defined]
    table: dict[str, tuple[_Template, ...]] = {}
    for text, translation in catalogue.items():
        if not isinstance(text, str) or "{" not in text:
            continue
        made = _template(text, translation)
        if made is not None:
            key = made.begins[:KEY] if len(made.begins) >= KEY else ""
            table[key] = (*table.get(key, ()), made)
    return table


def _template(text: str, translation: str) -> _Template | None:
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return None
    pattern, letters, seen = "", 0, set[str]()
    for literal, name, _, _ in parts:
        letters += sum(char.isalpha() for char in literal)
        pattern += re.escape(literal)
        if name:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{_NUMBER if _ID.fullmatch(name) else '.*?'})"
            seen.add(name)
    if letters < FEWEST_LETTERS or not seen:
        return None
    begins = parts[0][0]
    ends = parts[-1][0] if parts[-1][1] is None else ""
    # a value in the translation is said as it was found: what formats it did so already
    plain = re.sub(r"(\{\w+)[:!][^}]*\}", r"\1}", translation)
    return _Template(letters, begins, ends, re.compile(pattern, re.DOTALL), plain)
