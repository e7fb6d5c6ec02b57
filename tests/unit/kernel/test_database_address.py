"""A database's address: one spelling for all that read it, and refusals that show nothing of it."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import URL

from lazaret.kernel.database import Database, checked_address
from lazaret.kernel.errors import Misconfigured

SECRET = "secretpw"


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("postgresql://u:secretpw@h:5433/x", SECRET),
        ("postgres://u:secretpw@h:5433/x", SECRET),
        ("postgresql+psycopg://u:secretpw@h:5433/x", SECRET),
        ("postgresql+asyncpg://u:secretpw@h:5433/x", SECRET),
        ("postgresql://u:secret#pw@h:5433/x", "secret#pw"),
        ("postgresql://u:secret/p?w@h:5433/x", "secret/p?w"),
        ("postgresql://u:secret%pw@h:5433/x", "secret%pw"),
        ("postgresql://u:secret%40pw@h:5433/x", "secret@pw"),
    ],
)
def test_what_is_meant_is_understood(text: str, password: str) -> None:
    read = psycopg.conninfo.conninfo_to_dict(checked_address(text))
    assert read == {"host": "h", "port": "5433", "user": "u", "password": password, "dbname": "x"}


def test_options_reach_the_server_as_they_are_written() -> None:
    for spaced in ("-c%20search_path%3Dours", "-c+search_path%3Dours"):
        address = checked_address(f"postgresql:///x?host=/run/postgresql&options={spaced}")
        read = psycopg.conninfo.conninfo_to_dict(address)
        assert (read["host"], read["options"]) == ("/run/postgresql", "-c search_path=ours")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mysql://u:secretpw@h/x", "does not name a PostgreSQL database"),
        ("u:secretpw@127.0.0.1/x", "does not begin with postgresql://"),
        ("host=h password=secretpw", "does not begin with postgresql://"),
        ("postgresql://u:secretpw@h:port/x", "host or the port"),
        ("postgresql://u:secretpw@h:99999/x", "between 1 and 65535"),
        ("postgresql://u:secretpw@[::1/x", "host or the port"),
        ("postgresql://u:x@secretpw@h/x", "more than one @"),
        ("postgresql://u:x@y:secretpw@h/x", "more than one @"),
        ("postgresql://u:secretpw@h/x?sslmod=off", "option behind its ?"),
        ("://u:secretpw@h/x", "not a database address"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_shows_nothing(text: str, says: str) -> None:
    for reader in (checked_address, Database):
        with pytest.raises(Misconfigured) as refused:
            reader(text)
        assert says in refused.value.message and refused.value.hint
        assert SECRET not in str(refused.value)
        assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20))
def test_every_password_survives(password: str) -> None:
    written = URL.create("postgresql", "u", password, "h", 5432, "x").render_as_string(hide_password=False)
    assert psycopg.conninfo.conninfo_to_dict(checked_address(written))["password"] == password


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40))
def test_whatever_is_typed_is_understood_or_refused(text: str) -> None:
    for address in (text, f"postgresql://{text}", f"postgresql://u:{text}@h/x"):
        try:
            understood = checked_address(address)
        except Misconfigured:
            continue
        psycopg.conninfo.conninfo_to_dict(understood)
        assert checked_address(understood) == understood
