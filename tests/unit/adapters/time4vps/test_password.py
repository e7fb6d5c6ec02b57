"""The root password in a result, in every form that was seen or feared."""

import html
import json
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.adapters.time4vps.password import password_in

AWKWARD = """ab"<cd& '> ef"""


def found(result: str) -> str | None:
    password = password_in(result)
    return None if password is None else password.get_secret_value()


def link(attribute: str) -> str:
    return f"Host: jag1\nPassword: \t<a onclick='{attribute}'>Show</a>\nThank you\n"


@pytest.mark.parametrize(
    ("result", "password"),
    [
        ("Password: q7VtHs29Lm", "q7VtHs29Lm"),
        ("Creating disk... done\r\nIP:  203.0.113.20\r\nPassword:  q7VtHs29Lm\r\nBye\r\n", "q7VtHs29Lm"),
        ("Password:\tq7VtHs29Lm  ", "q7VtHs29Lm"),
        ("Password:&nbsp;&nbsp;q7Vt&amp;Hs", "q7Vt&Hs"),
        ("Password: \nPassword: second", "second"),
        (link('this.innerHTML = "q7VtHs29Lm"'), "q7VtHs29Lm"),
        (link('this.innerHTML="q7VtHs29Lm"; this.onclick = null;'), "q7VtHs29Lm"),
        (link("this.innerHTML = &quot;q7VtHs29Lm&quot;;"), "q7VtHs29Lm"),
        ("Password: visible\n" + link('this.innerHTML = "hidden"'), "hidden"),
        (link('this.innerHTML = "' + html.escape(AWKWARD) + '"'), AWKWARD),
        (link('this.innerHTML = "a\\"b\\\\c\\u0026\\x3Cd\\/e"'), 'a"b\\c&<d/e'),
        (link('this.innerHTML = "a\\";b"'), 'a";b'),
        (link('this.innerHTML = "a"b"'), 'a"b'),
        (link('this.innerHTML = "ends-in-\\"'), "ends-in-\\"),
        (link('this.innerHTML = "  padded  "'), "padded"),
    ],
)
def test_forms_that_carry_one(result, password):
    assert found(result) == password


@pytest.mark.parametrize(
    "result",
    [
        "",
        "Host: jag1\nOperation completed.\n",
        "Password:",
        "Password: \t<a href='/reveal'>Show</a>",
        "Password: &lt;b&gt;later&lt;/b&gt;",
        link('this.innerHTML = ""'),
        link('this.innerHTML = "<span>...</span>"'),
        link('this.innerHTML = "a\\nb"'),
        link('this.innerHTML = "\\ud83d"'),
    ],
)
def test_forms_that_carry_none(result):
    assert password_in(result) is None


@given(st.text(max_size=300))
def test_no_text_makes_it_raise(text):
    for result in (text, f"Password: {text}", link(f'this.innerHTML = "{text}"')):
        password = found(result)
        assert password is None or (password == password.strip() and password and not password.startswith("<"))
        assert password is None or password.encode()  # can be sent


@pytest.mark.parametrize("piece", ["\\", '\\"', "&", 'this.innerHTML = "', "Password: <", '"', "\\\\'"])
def test_a_hostile_result_is_read_quickly(piece):
    began = time.process_time()
    password_in('this.innerHTML = "' + piece * 100_000)
    assert time.process_time() - began < 2


PASSWORDS = st.text(alphabet=string.ascii_letters + string.digits + string.punctuation + " äß", min_size=1).filter(
    lambda text: text == text.strip() and not text.startswith("<")
)


@given(PASSWORDS)
def test_every_password_survives_escaping(password):
    escaped = html.escape(password)
    assert found(f"Password: {escaped}\nBye") == password
    assert found(link('this.innerHTML = "' + html.escape(json.dumps(password)[1:-1]) + '"')) == password


def test_the_password_is_wrapped():
    assert "q7VtHs29Lm" not in repr(password_in("Password: q7VtHs29Lm"))
