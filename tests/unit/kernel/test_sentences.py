"""Sentences that were raised or stored in English are found again in the catalogue, whatever they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.alerting.words import sentence_in
from lazaret.healing.why import _of_operation
from lazaret.kernel.i18n import translator
from lazaret.operations.model import Operation
from lazaret.servers.guard import TouchRefused

RUSSIAN = translator("ru")


@pytest.mark.parametrize(
    ("english", "russian"),
    [
        ("There is no server vps-7.", "Сервера vps-7 нет."),
        ("the list is empty", "список пуст"),
        ("reboot did not help", "перезагрузка: не помогло"),
        (
            "silent: Fresh looks failed in a row: 3 x login silent, 2 x tcp refused. Last seen well at 12:00:00 UTC.",
            "совсем не отвечает: Новые проверки подряд не удались: 3 x вход совсем не отвечает, 2 x стук в порт"
            " сервер SSH не запущен. Последний раз в порядке в 12:00:00 UTC.",
        ),
        ("vps-1 is in_use since 14 min ago", "vps-1: используется, 14 мин назад"),
        ("Version 3 of web is not good: somebody's own words", "Версия 3 сервиса web неисправна: somebody's own words"),
        ("somebody's own words", "somebody's own words"),
        ("", ""),
    ],
)
def test_sentences_in_russian(english: str, russian: str) -> None:
    assert sentence_in(english, RUSSIAN) == russian


def test_english_stays_as_it_is() -> None:
    assert sentence_in("There is no server vps-7.", translator("en")) == "There is no server vps-7."


def test_an_operation_that_waits() -> None:
    live = Operation(
        id=3, kind="rebuild", requested_by="cli:ann", status="waiting", waiting_for="root_password", hint=""
    )
    said = sentence_in(_of_operation(live, None), RUSSIAN)  # type: ignore[arg-type]
    assert said.startswith("операция 3 (пересборка, запросил cli:ann) ждёт пароля root")


@given(st.text(max_size=300))
def test_any_text_can_be_shown(text: str) -> None:
    sentence_in(text, RUSSIAN)
    shown = sentence_in(f"There is no server {text}.", RUSSIAN)
    assert text.strip() == "" or "Сервера" in shown or "\x00" in text


def test_what_errors_say_is_found() -> None:
    error = TouchRefused("vps-1 is on hold: disk swap.", hint="End it first: `lazaret unfreeze`.")
    assert sentence_in(error.message, RUSSIAN) == "vps-1 приостановлен: disk swap."
    assert sentence_in(error.hint, RUSSIAN) == "Сначала снимите приостановку: `lazaret unfreeze`."
