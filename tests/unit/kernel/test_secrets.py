"""The redactor and the key: no secret in a text, no key that others can read."""

import html
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lazaret.kernel.errors import Misconfigured
from lazaret.kernel.secrets import Redactor, SecretStore, load_or_create_key, write_private


@given(st.lists(st.text(min_size=5, max_size=20), min_size=1, max_size=5), st.text(max_size=20), st.text(max_size=20))
def test_no_hidden_value_survives(values: list[str], before: str, after: str) -> None:
    redactor = Redactor()
    for value in values:
        redactor.hide(SecretStr(value))
    for value in values:
        cleaned = redactor.clean(f"{before}{value}{after}")
        assert value not in cleaned or value in "[hidden]"


def test_a_secret_within_a_secret_leaves_no_rest() -> None:
    redactor = Redactor()
    redactor.hide(SecretStr("hunter"))
    redactor.hide(SecretStr("hunter2000"))
    assert redactor.clean("it is hunter2000") == "it is [hidden]"


PASSWORD = "planted\"w'<&> \\ \u00fc"


@pytest.mark.parametrize(
    "spelling",
    [
        json.dumps(PASSWORD),
        json.dumps(PASSWORD, ensure_ascii=False),
        html.escape(PASSWORD),
        html.escape(PASSWORD, quote=False),
        repr(PASSWORD),
        quote(PASSWORD, safe=""),
    ],
)
def test_a_secret_is_known_in_every_spelling(spelling: str) -> None:
    redactor = Redactor()
    redactor.hide(SecretStr(PASSWORD))
    assert redactor.clean(f"<{spelling}>").strip("<>\"'") == "[hidden]"


def test_short_words_stay_readable() -> None:
    redactor = Redactor()
    redactor.hide(SecretStr("root"))
    redactor.hide(SecretStr(""))
    assert redactor.clean("login as root") == "login as root"


LEAVES = st.none() | st.integers(0, 9) | st.just(PASSWORD) | st.just(f"it is {PASSWORD}")


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LEAVES, inner, max_size=2)))
def test_no_value_in_any_depth_survives(value: object) -> None:
    redactor = Redactor()
    redactor.hide(SecretStr(PASSWORD))
    cleaned = redactor.clean_value({"top": value, "error": ValueError(PASSWORD)})
    assert "planted" not in json.dumps(cleaned)
    assert cleaned["error"] == "ValueError('[hidden]')"


def test_what_holds_no_secret_stays_as_it_is() -> None:
    plain = {"a": [1, 2.5, None, True, "text"], "b": {"c": ()}}
    assert Redactor().clean_value(plain) == {"a": [1, 2.5, None, True, "text"], "b": {"c": []}}


def test_the_key_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    first = load_or_create_key(None, tmp_path)
    assert load_or_create_key(None, tmp_path) == first
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(SecretStr("configured"), tmp_path).get_secret_value() == "configured"
    SecretStore(first, Redactor())


def test_a_file_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"first")
    write_private(tmp_path / "key", b"second")
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_bad_key_is_refused_without_being_shown() -> None:
    with pytest.raises(Misconfigured) as refused:
        SecretStore(SecretStr("not-a-key-at-all"), Redactor())
    assert "not-a-key-at-all" not in str(refused.value)


def test_what_a_machine_says_can_be_stored_in_whatever_depth() -> None:
    said = {"lo\x00gs": ["GET /\x00", {"x": ("\ud800",)}], "error": ValueError("\udc80")}
    kept = Redactor().clean_value(said)
    assert kept == {"lo\ufffdgs": ["GET /\ufffd", {"x": ["\ufffd"]}], "error": "ValueError('\\udc80')"}


@pytest.mark.parametrize("secret", ["hun\x00ter", "hun\ufffdter", '<\x00"hunter'])
def test_no_secret_comes_about_or_is_missed_where_a_text_is_made_storable(secret: str) -> None:
    redactor = Redactor()
    redactor.hide(SecretStr(secret))
    for said in (secret, html.escape(secret), secret.replace("\ufffd", "\x00"), secret.replace("\x00", "\ufffd")):
        assert redactor.clean(f"it is {said}") == "it is [hidden]"
