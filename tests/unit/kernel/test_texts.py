"""Texts from outside: what is refused at the edge, and what a terminal is given to show."""

import json

import pytest

from lazaret.kernel.texts import has_control, printable, printable_json, storable


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "a\x00", "\x7f", "\x9b31m", "a\u202eb", "a\u2028b", "\ud800"])
def test_control_characters_are_found_and_never_shown(text: str) -> None:
    assert has_control(text)
    assert not has_control(printable(text), lines=True)
    shown = printable_json(json.dumps([text], ensure_ascii=False))
    assert not has_control(shown)
    assert json.loads(shown) == [text]


@pytest.mark.parametrize("text", ["", "plain", "Ёлка 🚑", "👩‍🚒", "a'b\\c"])
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert not has_control(text)
    assert printable(text) == text


def test_lines_stay_lines() -> None:
    assert not has_control("a\r\n\tb", lines=True)
    assert has_control("a\x1b\n", lines=True)
    assert printable("a\r\n\tb\rc") == "a\n\tb\\rc"
    assert printable("\x1b[2J") == "\\x1b[2J"


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b", "a\udcffb"])
def test_a_mark_stands_for_what_no_table_can_hold(text: str) -> None:
    assert storable(text) == "a\ufffdb"


@pytest.mark.parametrize("text", ["", "plain", "Ёлка 🚑", "\x01\x1b[31m\n\t\x7f\uffff"])
def test_all_else_is_kept(text: str) -> None:
    assert storable(text) == text
