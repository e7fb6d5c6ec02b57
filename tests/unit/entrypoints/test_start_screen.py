"""What `lazaret up` says first: where everything is, how to get in, and what is missing."""

import pytest

from lazaret.entrypoints.start_screen import start_screen
from lazaret.kernel.settings import load_settings

UP = ("api", "worker", "monitor")
HERE = "http://127.0.0.1:8000"
ACCOUNT = {"TIME4VPS_LOGIN": "you@example.org", "TIME4VPS_PASSWORD": "secret-of-the-account"}


def screen(parts: tuple[str, ...] = UP, *, token: str | None = None, **settings: str) -> str:
    return "\n".join(start_screen(load_settings(settings), parts=parts, address=HERE, first_token=token))


@pytest.mark.parametrize(
    ("public", "shown"), [("", HERE), ("https://fleet.example.org/", "https://fleet.example.org ")]
)
def test_it_says_where_the_dashboard_is_and_how_to_sign_in(public: str, shown: str) -> None:
    (line,) = (one for one in screen(LAZARET_PUBLIC_URL=public).splitlines() if one.startswith("  dashboard "))
    assert shown in line
    assert "`lazaret token login`" in line


def test_a_process_without_api_has_no_dashboard() -> None:
    text = screen(("worker",))
    assert f"metrics      {HERE}/metrics" in text
    assert "dashboard" not in text


def test_the_first_token_is_shown_and_no_password() -> None:
    text = screen(token="lzr_first", **ACCOUNT)
    assert "shown this once:\n      lzr_first" in text
    assert "Time4VPS as you@example.org" in text and "secret-of-the-account" not in text


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, ["TIME4VPS_LOGIN", "LAZARET_STATIC_HOSTS_FILE", "lazaret lab up", "TIME4VPS_MANAGED_SERVER_IDS"]),
        (ACCOUNT, ["TIME4VPS_MANAGED_SERVER_IDS"]),
        ({"TIME4VPS_LOGIN": "x"}, ["half of the account: TIME4VPS_PASSWORD is not set"]),
        ({"TIME4VPS_PASSWORD": "x"}, ["half of the account: TIME4VPS_LOGIN is not set"]),
        (
            {"TIME4VPS_LOGIN": "x", "LAZARET_STATIC_HOSTS_FILE": "/nowhere.yml"},
            ["half of the account: TIME4VPS_PASSWORD is not set"],
        ),
        (ACCOUNT | {"TIME4VPS_MANAGED_SERVER_IDS": "1,2"}, []),
    ],
)
def test_it_names_each_setting_that_is_missing(settings: dict[str, str], missing: list[str]) -> None:
    _, _, named = screen(**settings).partition("  Missing:")
    assert bool(named) == bool(missing)
    assert all(setting in named for setting in missing), named
