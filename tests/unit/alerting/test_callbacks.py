"""Buttons: signed for one person, one thing and a time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from lazaret.alerting.callbacks import LONGEST, Act, ExpiredButton, ForgedButton, Press, Signer

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SIGNER = Signer(SecretStr("a key of Lazaret's own"))
PRESS = Press(Act.APPROVE, "17", 501, NOW + timedelta(hours=1))


def test_what_was_signed_can_be_read() -> None:
    assert SIGNER.read(SIGNER.sign(PRESS), user=501, at=NOW) == PRESS


@given(st.sampled_from(Act), st.integers(1, 2**40), st.integers(1, 2**52))
def test_every_button_fits(act: Act, subject: int, user: int) -> None:
    press = Press(act, str(subject), user, NOW + timedelta(days=1))
    signed = SIGNER.sign(press)
    assert len(signed.encode()) <= LONGEST
    assert SIGNER.read(signed, user=user, at=NOW) == press


@pytest.mark.parametrize("user", [502, 0, -501])
def test_another_person_cannot_press_it(user: int) -> None:
    with pytest.raises(ForgedButton):
        SIGNER.read(SIGNER.sign(PRESS), user=user, at=NOW)


@given(st.text(max_size=80) | st.builds(lambda body: f"y:{body}:ffffffffff:AAAA", st.text(max_size=40)))
def test_what_we_did_not_sign_is_refused(text: str) -> None:
    with pytest.raises(ForgedButton):
        SIGNER.read(text, user=501, at=NOW)


@given(st.integers(0, 63), st.characters())
def test_one_changed_character_is_enough(position: int, char: str) -> None:
    signed = SIGNER.sign(PRESS)
    changed = signed[: position % len(signed)] + char + signed[position % len(signed) + 1 :]
    if changed != signed:
        with pytest.raises(ForgedButton):
            SIGNER.read(changed, user=501, at=NOW)


def test_another_lazaret_has_other_buttons() -> None:
    with pytest.raises(ForgedButton):
        Signer(SecretStr("another key")).read(SIGNER.sign(PRESS), user=501, at=NOW)


def test_it_expires() -> None:
    with pytest.raises(ExpiredButton):
        SIGNER.read(SIGNER.sign(PRESS), user=501, at=NOW + timedelta(hours=1))


@pytest.mark.parametrize("subject", ["a:b", "x" * 60])
def test_a_subject_that_does_not_fit_is_an_error(subject: str) -> None:
    with pytest.raises(ValueError, match="subject"):
        SIGNER.sign(Press(Act.WHY, subject, 501, NOW))
