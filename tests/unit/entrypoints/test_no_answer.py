"""Why a database does not let us in: place, reason and cure, and never the password."""

import pytest

from lazaret.entrypoints.no_answer import no_answer
from lazaret.entrypoints.office import hide_secrets
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings

ADDRESS = "postgresql://me:hidden-word@db.example.org:5433/x"
REFUSED = (
    'connection failed: connection to server at "127.0.0.1", port 5433 failed: Connection refused\n'
    "\tIs the server running on that host and accepting TCP/IP connections?"
)


@pytest.mark.parametrize(
    ("said", "what", "cure"),
    [
        (REFUSED, "no answer from db.example.org port 5433: Connection refused", "Start PostgreSQL"),
        ('FATAL: password authentication failed for user "me"', "refuses the user me", "ALTER ROLE me PASSWORD"),
        ("connection failed: fe_sendauth: no password supplied", "refuses the user me", "ALTER ROLE me PASSWORD"),
        ('FATAL: database "x" does not exist', "no database or user of that name", "createdb"),
        (f"odd: {ADDRESS}, hidden-word", "odd: [hidden], [hidden]", "pg_hba.conf"),
    ],
)
def test_it_says_where_and_why_and_what_to_do(said: str, what: str, cure: str) -> None:
    found = no_answer(ADDRESS, OSError(said))
    assert what in found.what and cure in found.cure
    assert "hidden-word" not in str(found)


def test_an_address_without_a_host() -> None:
    assert "localhost port 5432" in no_answer("postgresql:///x", OSError("no")).what
    assert "/run/pg port 5432" in no_answer("postgresql:///x?host=/run/pg", OSError("no")).what


@pytest.mark.parametrize(
    ("address", "text", "shown"),
    [
        (ADDRESS, f"{ADDRESS} and hidden-word", "[hidden] and [hidden]"),
        ("postgresql://lazaret:lazaret@db/x", "lazaret up", "lazaret up"),
        ("mysql://me:hidden-word@h/x", "it was mysql://me:hidden-word@h/x", "it was [hidden]"),
    ],
)
def test_logs_hide_the_address_and_leave_names_alone(address: str, text: str, shown: str) -> None:
    redactor = Redactor()
    hide_secrets(load_settings({"DATABASE_URL": address}), redactor)
    assert redactor.clean(text) == shown
