"""The settings: every promised name, secrets from files, and errors that name the variable and never its value."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.kernel.errors import Misconfigured
from lazaret.kernel.settings import Settings, as_written, known_names, load_settings, names_passed_over

PROMISED = [
    "PROVISIONING_TIMEOUT",
    "PROVISIONING_MAX_RETRIES",
    "HEALTH_CHECK_INTERVAL",
    "PASSWORD_RESET_POLL_INTERVAL",
    "ORCHESTRATOR_SSH_PUBLIC_KEY",
    "ORCHESTRATOR_SSH_PRIVATE_KEY_PATH",
    "NOTIFICATION_RATE_LIMIT",
    "DATABASE_URL",
    "LAZARET_DATA_DIR",
    "LAZARET_PORT",
    "LAZARET_SECRET_KEY",
    "TIME4VPS_BASE_URL",
    "TIME4VPS_LOGIN",
    "TIME4VPS_USERNAME",
    "TIME4VPS_PASSWORD",
    "TIME4VPS_MANAGED_SERVER_IDS",
    "SERVER_SYNC_INTERVAL",
    "HEARTBEAT_INTERVAL",
    "REINSTALL_TIMEOUT",
    "PASSWORD_RESET_TIMEOUT",
    "DEFAULT_OS_TEMPLATE",
    "PROVISIONING_VARS_FILE",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_API_BASE_URL",
    "TELEGRAM_ADMIN_IDS",
    "TIME4VPS_PASSWORD_FILE",
    "TELEGRAM_BOT_TOKEN_FILE",
    "DATABASE_URL_FILE",
    "LAZARET_SECRET_KEY_FILE",
]


def test_every_promised_name_is_known() -> None:
    assert set(PROMISED) <= known_names()


def test_the_plans_defaults() -> None:
    settings = load_settings({})
    assert (settings.provisioning_timeout, settings.provisioning_max_retries) == (600, 3)
    assert (settings.health_check_interval, settings.password_reset_poll_interval) == (60, 5)
    assert (settings.notification_rate_limit, settings.lazaret_port) == (10, 8000)
    assert (settings.server_sync_interval, settings.heartbeat_interval) == (60, 10)
    assert (settings.reinstall_timeout, settings.password_reset_timeout) == (900, 300)
    assert settings.time4vps_managed_server_ids == frozenset()


def test_the_alias_and_a_secret_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    settings = load_settings({"TIME4VPS_USERNAME": "a@example.org", "TIME4VPS_PASSWORD_FILE": str(file)})
    assert settings.time4vps_login == "a@example.org"
    assert settings.time4vps_password is not None
    assert settings.time4vps_password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
    with pytest.raises(Misconfigured, match="TIME4VPS_PASSWORD_FILE"):
        load_settings({"TIME4VPS_PASSWORD_FILE": str(tmp_path / "missing")})


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40))
def test_ids_are_all_numbers_or_an_error(text: str) -> None:
    """Half a list would be a different permission."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        ids = load_settings({"TIME4VPS_MANAGED_SERVER_IDS": text}).time4vps_managed_server_ids
    except Misconfigured as error:
        assert "TIME4VPS_MANAGED_SERVER_IDS" in error.message
    else:
        assert ids == {int(part) for part in parts}
        assert all(number > 0 for number in ids)


@pytest.mark.parametrize(
    "text", ["7,1_2", "7,1.0", "7,1e3", "7,0x10", "7 8", "7;8", "7,vps-8", "7,-8", "7,0", "7,٣", "7,+8"]
)
def test_an_id_in_another_spelling_is_an_error(text: str) -> None:
    with pytest.raises(Misconfigured, match="TIME4VPS_MANAGED_SERVER_IDS"):
        load_settings({"TIME4VPS_MANAGED_SERVER_IDS": text})


def test_ids_with_spaces_and_a_comma_at_the_end() -> None:
    assert load_settings({"TIME4VPS_MANAGED_SERVER_IDS": " 7 , 8,"}).time4vps_managed_server_ids == {7, 8}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LAZARET_PORT", "eighty"),
        ("LAZARET_PORT", "70000"),
        ("PROVISIONING_MAX_RETRIES", "0"),
        ("SERVER_SYNC_INTERVAL", "-1"),
        ("LAZARET_LOG_LEVEL", "loud"),
        ("TELEGRAM_ADMIN_IDS", "1,x"),
        ("LAZARET_KEEP_DAYS", "inf"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=name):
        load_settings({name: value})


@pytest.mark.parametrize("name", [n for n, f in Settings.model_fields.items() if f.annotation in {int, float}])
def test_no_number_is_so_large_that_reckoning_with_it_fails(name: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name.upper()}: "):
        load_settings({name.upper(): "999999999999"})


FRACTIONS = [name.upper() for name, field in Settings.model_fields.items() if field.annotation is float]


@pytest.mark.parametrize("value", ["inf", "Infinity", "1e999", "nan"])
@pytest.mark.parametrize("name", FRACTIONS)
def test_what_has_no_end_is_no_number_of_seconds(name: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{name}: "):
        load_settings({name: value})


def test_a_misspelt_name_stops_the_start_with_a_suggestion() -> None:
    with pytest.raises(Misconfigured, match="LAZARET_PORT"):
        load_settings({"LAZARET_PROT": "8000"})


def test_what_the_scripts_read_may_be_exported() -> None:
    assert load_settings({"LAZARET_URL": "http://localhost:8000"}) == load_settings({})
    with pytest.raises(Misconfigured, match="LAZARET_URLS is not a setting"):
        load_settings({"LAZARET_URLS": "http://localhost:8000"})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("TIME4VPS_LOGN", "TIME4VPS_LOGIN"),
        ("TIME4VPS_LOIGN", "TIME4VPS_LOGIN"),
        ("TIME4VPS_PASSWWORD", "TIME4VPS_PASSWORD"),
        ("TIME4VPS_PASSWORD_FILES", "TIME4VPS_PASSWORD_FILE"),
        ("TIME4VPS_MANAGED_SERVER_ID", "TIME4VPS_MANAGED_SERVER_IDS"),
        ("TIME4VPS_USERNAMF", "TIME4VPS_USERNAME"),
        ("TELEGRAM_BOT_TOKN", "TELEGRAM_BOT_TOKEN"),
        ("TELEGRAM_ADMIN_ID", "TELEGRAM_ADMIN_IDS"),
    ],
)
def test_a_slip_in_a_name_that_others_use_the_beginning_of_too(typed: str, meant: str) -> None:
    with pytest.raises(Misconfigured, match=f"{typed} is not a setting") as refused:
        load_settings({typed: "1"})
    assert f"Did you mean {meant}?" in refused.value.hint and "unset it" in refused.value.hint
    if not meant.endswith("_FILE"):
        assert load_settings({typed: "1", meant: "1"}) == load_settings({meant: "1"}), "ours is set: it is another's"


OF_OTHERS = [
    "TELEGRAM_TOKEN",
    "TELEGRAM_API_ID",
    "TELEGRAM_API_HASH",
    "TELEGRAM_BOT_NAME",
    "TELEGRAM_CHAT_ID",
    "TELEGRAM_WEBHOOK_HOST",
    "TELEGRAM_WEBHOOK_PATH",
    "TELEGRAM_WEBHOOK_SECRET",
    "TIME4VPS_API_KEY",
]


def test_what_others_have_stops_nothing_and_is_known() -> None:
    environ = dict.fromkeys(OF_OTHERS, "1")
    assert load_settings(environ) == load_settings({})
    assert names_passed_over(environ | {"TELEGRAM_BOT_TOKEN": "1", "PATH": "/"}) == sorted(OF_OTHERS)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, None),
        ({"TIME4VPS_LOGIN": "x", "TIME4VPS_PASSWORD": "y"}, None),
        ({"TIME4VPS_LOGIN": "x"}, "TIME4VPS_PASSWORD"),
        ({"TIME4VPS_PASSWORD": "y"}, "TIME4VPS_LOGIN"),
    ],
)
def test_half_an_account_names_the_other_half(given: dict[str, str], missing: str | None) -> None:
    assert load_settings(given).missing_half == missing


def test_a_value_is_written_as_it_is_read() -> None:
    given = {
        "LAZARET_ANCHORS": "192.0.2.1:53,[2001:db8::1]:443",
        "LAZARET_DEPLOY_PORTS": "2000-2001",
        "LAZARET_MCP_WRITE": "true",
        "LAZARET_STORM_QUIET": "0.0000123",
        "TIME4VPS_MANAGED_SERVER_IDS": "7,12",
        "LAZARET_DATA_DIR": "/srv/lazaret",
    }
    settings = load_settings(given)
    written = {name: as_written(getattr(settings, name.lower())) for name in given}
    assert load_settings(written) == settings
    assert written | {"LAZARET_STORM_QUIET": ""} == given | {"LAZARET_STORM_QUIET": ""}


def test_no_error_shows_a_secret() -> None:
    planted = "planted-secret-value"
    for name in ("TIME4VPS_PASSWORD", "TELEGRAM_BOT_TOKEN", "LAZARET_SECRET_KEY", "DATABASE_URL"):
        with pytest.raises(Misconfigured) as refused:
            load_settings({name: planted, "LAZARET_PORT": "x"})
        assert planted not in str(refused.value)


def test_every_setting_has_its_sentence() -> None:
    assert all(info.description and info.description.endswith(".") for info in Settings.model_fields.values())
