"""Whoever reads Russian reads all of it: every text has a translation with the same values in it."""

import re
import string
import subprocess
import sys
from pathlib import Path

from babel.messages.pofile import read_po

from lazaret.kernel.i18n import LANGUAGES, language_for, translator

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "src/lazaret/locale/ru/LC_MESSAGES/lazaret.po"


def values_in(text: str) -> set[str]:
    braces = {name for _, name, _, _ in string.Formatter().parse(text) if name}
    return braces | set(re.findall(r"%\((\w+)\)s", text))


def test_no_text_of_the_source_is_without_a_translation() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts/translations"), "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_every_translation_has_the_values_of_its_text() -> None:
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file, locale="ru")
    for message in catalogue:
        if not message.id:
            continue
        texts = message.id if isinstance(message.id, tuple) else (message.id,)
        translations = message.string if isinstance(message.string, tuple) else (message.string,)
        for translation in translations:
            assert values_in(translation) <= values_in(texts[-1]), translation
            if len(texts) == 1:
                assert values_in(translation) == values_in(texts[0]), translation


def test_which_language_is_spoken() -> None:
    assert language_for(None, "ru-RU", "en") == "ru"
    assert language_for("de", None) == "en"
    assert translator("ru").gettext("Fleet") == "Парк"
    assert (
        translator("ru").ngettext("{n} message in one", "{n} messages in one", 5).format(n=5) == "5 сообщений в одном"
    )
    assert translator("xx").gettext("Fleet") == "Fleet"
    assert LANGUAGES[0] == "en"
