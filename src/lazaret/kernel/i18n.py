"""Languages: what people read is written in English and looked up in catalogues.

The catalogues are gettext's `.po` files, read as they are: nothing has to be compiled, and what is read is what is
reviewed.
"""

import gettext
import io
from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "ru")
"""What Lazaret speaks; the first is what the texts are written in."""


def language_for(*wishes: str | None) -> str:
    """The first wish that we speak (`ru-RU` is Russian), else English."""
    for wish in wishes:
        language = (wish or "").replace("_", "-").split("-")[0].lower()
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


@cache
def translator(language: str) -> gettext.NullTranslations:
    """The catalogue of a language. One that we do not speak gives English."""
    if language not in LANGUAGES[1:]:
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # noqa: PLC0415 - every command marks texts, few translate them
    from babel.messages.pofile import read_po  # noqa: PLC0415

    source = files("lazaret").joinpath("locale", language, "LC_MESSAGES", "lazaret.po")
    compiled = io.BytesIO()
    with source.open("rb") as catalogue:
        write_mo(compiled, read_po(catalogue, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def mark(message: str) -> str:
    """Marks a message for the catalogues where it is not yet known in which language it will be read."""
    return message
