"""Whatever a server, a provider or a person wrote is shown as it is: held against a reader of MarkdownV2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.alerting.markdown import bold, code, lines, link, text
from lazaret.lab.telegram.markup import MarkupError, parse_markdown

anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
bombs = st.text("_*[]()~`>#+-=|{}.!\\|_ \na", max_size=200)


@given(anything | bombs)
def test_text_is_shown_as_it_is(content: str) -> None:
    shown, entities = parse_markdown(text(content).markdown)
    assert (shown, entities) == (content, [])


@given(anything | bombs, anything | bombs, bombs)
def test_pieces_keep_to_themselves(one: str, two: str, three: str) -> None:
    said = bold(one) + text("x") + code(two) + text("y") + link(three or "z", "https://example.org/a)b\\c")
    shown, _ = parse_markdown(said.markdown)
    assert shown == f"{one}x{two}y{three or 'z'}"


def test_what_it_looks_like() -> None:
    said = lines([bold("vps-1"), code("df -h"), link("open", "https://example.org")])
    shown, entities = parse_markdown(said.markdown)
    assert shown == "vps-1\ndf -h\nopen"
    assert [(one.type, one.offset, one.length) for one in entities] == [
        ("bold", 0, 5),
        ("code", 6, 5),
        ("text_link", 12, 4),
    ]
    assert said.plain == "vps-1\ndf -h\nopen (https://example.org)"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("1.2", "Character '.' is reserved"),
        ("*open", "Can't find end of Bold entity at byte offset 0"),
        ("я*open", "byte offset 2"),
        ("`open", "Can't find end of Code entity"),
        ("[x]", "Character ']' is reserved"),
        ("*a _b* c_", "Can't find end of Italic entity"),
    ],
)
def test_bad_markup_is_refused_in_telegrams_words(source: str, says: str) -> None:
    with pytest.raises(MarkupError, match=says.replace("'", ".").replace("]", r"\]").replace(".", ".")):
        parse_markdown(source)


def test_nested_and_fenced() -> None:
    shown, entities = parse_markdown("*bold _both_* ~gone~ ||secret|| __under__ ```python\nx = 1```")
    assert shown == "bold both gone secret under x = 1"
    assert [one.type for one in entities] == ["bold", "italic", "strikethrough", "spoiler", "underline", "pre"]
    assert entities[-1].language == "python"
