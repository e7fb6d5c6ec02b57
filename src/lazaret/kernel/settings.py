"""The settings: read from the environment once, checked whole, immutable afterwards.

Each field is one environment variable (its name in capitals); a secret may also come from the file that `NAME_FILE`
names. `.env.example` is generated from here.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from lazaret.kernel.documents import document
from lazaret.kernel.errors import Misconfigured

DAY_S, YEAR_H = 86_400, 8_784
"""No interval or time-out is longer than a day, and no question waits longer than a year."""


def default_data_dir() -> Path:
    """Where state lives unless told otherwise: a system directory for root, else one of the user's."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/lazaret")
    return Path.home() / ".local" / "share" / "lazaret"


class Settings(BaseModel):
    """All that can be configured. The description of each field is the line that `.env.example` shows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Where things are
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL 14 or newer, postgresql://user:password@host/name. Empty: an embedded one."
    )
    lazaret_data_dir: Path = Field(
        default_factory=default_data_dir, description="Directory for keys, the embedded database and logs."
    )
    lazaret_bind: str = Field("127.0.0.1", description="Address on which the API and /metrics listen.")
    lazaret_port: int = Field(8000, ge=0, le=65535, description="Port of the API; 0 takes any free one.")
    lazaret_metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of /metrics, /healthz and /readyz of a worker, monitor or bot that runs alone. 0: none.",
    )
    lazaret_secret_key: SecretStr | None = Field(
        None, description="Key that encrypts stored secrets. Empty: made on first start in the data directory."
    )
    lazaret_token: SecretStr | None = Field(
        None,
        description="API token as whose holder the command line, `lazaret mcp` and the LangChain tools act. Empty: as "
        "the owner of the data directory.",
    )
    lazaret_log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    lazaret_log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    lazaret_worker_concurrency: int = Field(
        4, ge=1, le=64, description="Operations that one worker process runs at once."
    )

    lazaret_worker_dead_after: float = Field(
        15,
        ge=1,
        le=DAY_S,
        description="Seconds of silence after which a worker is taken for dead and its work is taken over.",
    )

    lazaret_silent_after: float = Field(
        30,
        ge=2,
        le=DAY_S,
        description="Seconds of silence after which the administrators are told of a process of Lazaret.",
    )
    lazaret_keep_days: float = Field(
        90,
        ge=1,
        le=36500,
        description="Days that details are kept: logs of operations, evidence, messages that were told. Servers, "
        "incidents, operations and the audit log are kept for good.",
    )

    # The provider account
    time4vps_base_url: str = Field(
        "https://billing.time4vps.com/api", description="Base address of the Time4VPS API, or of the lab."
    )
    time4vps_login: str | None = Field(None, description="User name (e-mail) of the account. Alias: TIME4VPS_USERNAME.")
    time4vps_password: SecretStr | None = Field(None, description="Password of the account.")
    time4vps_managed_server_ids: frozenset[int] = Field(
        frozenset(),
        description="Comma-separated ids of the servers that Lazaret may change. Empty: it only looks.",
    )
    lazaret_provider_calls_per_minute: float = Field(
        30,
        gt=0,
        le=100_000,
        description="Calls per minute that all processes together make to the provider, in the long run.",
    )
    server_sync_interval: float = Field(
        60, gt=0, le=DAY_S, description="Seconds between two readings of the server list."
    )
    default_os_template: str | None = Field(
        None, description="Operating system for a rebuild. Empty: the one that the server has."
    )

    # Hosts from a file
    lazaret_static_hosts_file: Path | None = Field(
        None,
        description="YAML file with SSH hosts of your own (docs/howto/static_hosts.md). Read again when it changes.",
    )

    # Provisioning
    provisioning_timeout: float = Field(600, gt=0, le=DAY_S, description="Seconds that converging one server may take.")
    provisioning_max_retries: int = Field(3, ge=1, le=10, description="Attempts before a human is asked.")
    password_reset_poll_interval: float = Field(
        5, gt=0, le=DAY_S, description="Seconds between two looks at a provider task."
    )
    password_reset_timeout: float = Field(300, gt=0, le=DAY_S, description="Seconds that a password reset may take.")
    reinstall_timeout: float = Field(900, gt=0, le=DAY_S, description="Seconds that a reinstall may take.")
    provisioning_vars_file: Path | None = Field(None, description="YAML file with your own playbook variables.")

    # SSH
    orchestrator_ssh_public_key: str | None = Field(
        None, description="Public key to install. Empty: made from the private key."
    )
    orchestrator_ssh_private_key_path: Path | None = Field(
        None, description="Private key file. Empty: made on first start in the data directory."
    )
    lazaret_ssh_port: int = Field(22, ge=1, le=65535, description="SSH port of the servers.")
    lazaret_lab_simulated: bool = Field(False, description="The servers are the lab's simulated ones: no Ansible.")

    # Watching
    health_check_interval: float = Field(
        60, gt=0, le=DAY_S, description="Seconds between two full health checks of a server."
    )
    heartbeat_interval: float = Field(
        10, gt=0, le=DAY_S, description="Seconds between two readings from a server's stream."
    )

    lazaret_knock_interval: float = Field(
        15, gt=0, le=DAY_S, description="Seconds between two knocks at a server that is lost."
    )
    lazaret_anchors: tuple[str, ...] = Field(
        (), description="Comma-separated host:port of places outside the fleet; none in reach: the monitor is blind."
    )
    lazaret_vantage: str = Field(
        "main", description="Where this monitor stands; monitors of one vantage share a fleet."
    )

    # Deployments
    lazaret_deploy_ports: tuple[int, int] = Field(
        (20000, 29999), description="First and last port that is given to services, for example 20000-29999."
    )

    # Healing
    lazaret_recoveries_in_flight: int = Field(3, ge=1, le=3, description="Recoveries at work at the same time.")
    lazaret_reboots_per_day: int = Field(3, ge=0, le=3, description="Reboots per server within 24 hours.")
    lazaret_reinstalls_per_day: int = Field(1, ge=0, le=1, description="Reinstalls per server within 24 hours.")
    lazaret_approval_hours: float = Field(
        12, gt=0, le=YEAR_H, description="Hours after which no answer to a question is a no."
    )
    lazaret_storm_quiet: float = Field(
        120, gt=0, le=DAY_S, description="Seconds without new losses before a canary may go."
    )
    lazaret_remedy_patience: float = Field(
        1, gt=0, le=10, description="Factor on how long remedies may take to show an effect; below 1 for rehearsals."
    )

    # Agents
    lazaret_mcp_write: bool = Field(
        False, description="Whether tools that act are offered at /mcp, to tokens with the role operator or admin."
    )

    # Telegram
    telegram_bot_token: SecretStr | None = Field(None, description="Token of the bot. Empty: no bot.")
    telegram_api_base_url: str = Field("https://api.telegram.org", description="Base address of the Bot API.")
    telegram_admin_ids: frozenset[int] = Field(
        frozenset(), description="Comma-separated Telegram ids of the first administrators."
    )
    telegram_webhook_url: str = Field(
        "", description="Public https address for Telegram to call. Empty: the bot asks by itself (long polling)."
    )
    telegram_webhook_bind: str = Field("127.0.0.1", description="Address on which the webhook listens.")
    telegram_webhook_port: int = Field(8443, ge=1, le=65535, description="Port on which the webhook listens.")
    lazaret_quiet_hours: str = Field(
        "", description="Span like 23:00-07:00 in which errors come without a sound and what matters less waits."
    )
    lazaret_time_zone: str = Field("UTC", description="Time zone of the quiet hours, for example Europe/Vilnius.")
    lazaret_escalate_after: float = Field(
        300,
        ge=0,
        le=7 * DAY_S,
        description="Seconds until a critical incident that nobody answers rings the next administrator. 0: never.",
    )
    lazaret_public_url: str = Field(
        "", description="Address at which people open the dashboard, for buttons in Telegram. Empty: no such buttons."
    )
    notification_rate_limit: int = Field(
        10, ge=1, le=100_000, description="Messages per user and hour; critical ones always pass."
    )

    @field_validator("time4vps_managed_server_ids", "telegram_admin_ids", mode="before")
    @classmethod
    def _split_ids(cls, value: object) -> object:
        """An id that is not a number is an error, never a shorter list: half a list is a different permission."""
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not all(re.fullmatch(r"-?[0-9]+", part) for part in parts):  # int() would read 1_2 as 12, pydantic 1.0 as 1
            raise ValueError("ids are whole numbers separated by commas")
        return parts

    @field_validator("lazaret_quiet_hours")
    @classmethod
    def _quiet_hours_can_be_read(cls, value: str) -> str:
        if value and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError("quiet hours are written HH:MM-HH:MM")
        return value

    @field_validator("lazaret_time_zone")
    @classmethod
    def _zone_is_known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("no such time zone; write one like Europe/Vilnius")
        return value

    @field_validator("lazaret_anchors", mode="before")
    @classmethod
    def _split_anchors(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        parts = [part.strip() for part in value.split(",") if part.strip()]
        for part in parts:
            host, _, port = part.rpartition(":")
            if not host or not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
                raise ValueError("anchors are host:port, separated by commas")
        return parts

    @field_validator("lazaret_deploy_ports", mode="before")
    @classmethod
    def _split_ports(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = re.fullmatch(r"\s*([0-9]{4,5})\s*-\s*([0-9]{4,5})\s*", value)
        if found is None or not 1024 <= int(found[1]) <= int(found[2]) <= 65535:
            raise ValueError("write first-last, both between 1024 and 65535")
        return int(found[1]), int(found[2])

    @field_validator("time4vps_managed_server_ids")
    @classmethod
    def _ids_are_positive(cls, value: frozenset[int]) -> frozenset[int]:
        if not all(0 < server_id < 2**63 for server_id in value):
            raise ValueError("server ids are positive numbers of at most 63 bits")
        return value

    @property
    def has_provider(self) -> bool:
        """Whether there is an account to read."""
        return bool(self.time4vps_login and self.time4vps_password)

    @property
    def missing_half(self) -> str | None:
        """The variable that an account lacks of which the other half is set; None when both are, or neither."""
        if bool(self.time4vps_login) == bool(self.time4vps_password):
            return None
        return "TIME4VPS_PASSWORD" if self.time4vps_login else "TIME4VPS_LOGIN"

    @property
    def has_servers(self) -> bool:
        """Whether there is any list of servers to read: an account, or a file."""
        return self.has_provider or self.lazaret_static_hosts_file is not None


ALIASES = {"TIME4VPS_USERNAME": "TIME4VPS_LOGIN"}
"""Other names under which a variable is accepted."""

SECRETS = {"DATABASE_URL", "LAZARET_SECRET_KEY", "LAZARET_TOKEN", "TIME4VPS_PASSWORD", "TELEGRAM_BOT_TOKEN"}
"""Variables that may come from a file."""

OF_CALLERS = {"LAZARET_URL"}
"""Variables of programs that call the API, such as `test_force_rebuild.sh`: exported beside ours, and none of ours."""

_OWN_PREFIX = "LAZARET_"
_SHARED_PREFIXES = ("TIME4VPS_", "TELEGRAM_")
"""Other programs have names that begin like this too."""


def known_names() -> set[str]:
    """Every variable name that means something to us."""
    names = {field.upper() for field in Settings.model_fields} | set(ALIASES)
    return names | {f"{name}_FILE" for name in SECRETS}


def environment() -> dict[str, str]:
    """What settings are read from: the process environment, over a `.env` file in the working directory."""
    return {**{name: value or "" for name, value in dotenv_values(".env").items()}, **os.environ}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, or from the process environment over a `.env` file in the working directory.

    Raises `Misconfigured`, which names the variable and what is wrong, never its value.
    """
    environ = environment() if environ is None else environ
    _refuse_unknown(environ)
    values: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = _value_of(name.upper(), environ)
        if value not in (None, ""):
            values[name] = value
    try:
        return Settings(**values)
    except ValidationError as error:
        raise Misconfigured(
            _explain(error), hint=f"See {document('.env.example')} for every name, its unit and meaning."
        ) from None


def as_written(value: object) -> str:
    """A setting's value as it stands in the environment; empty for none. `load_settings` reads it back."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return str(value).removesuffix(".0")
        case (int(first), int(last)):
            return f"{first}-{last}"
        case frozenset() | tuple():
            return ",".join(map(str, sorted(value) if isinstance(value, frozenset) else value))
        case Path():
            value = value.absolute()
    return str(value)


def _value_of(name: str, environ: Mapping[str, str]) -> str | None:
    for candidate in (name, *(alias for alias, meant in ALIASES.items() if meant == name)):
        if environ.get(candidate):
            return environ[candidate].strip()
        path = environ.get(f"{candidate}_FILE")
        if path and candidate in SECRETS:
            return _read_secret_file(candidate, Path(path))
    return None


def _read_secret_file(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"{name}_FILE names a file that cannot be read: {type(error).__name__}.",
            hint=f"Make {path} readable, or set {name} itself.",
        ) from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    """A misspelt safety setting must not silently do nothing."""
    known = known_names()
    for name in sorted(environ.keys() - OF_CALLERS):
        if name.startswith(_OWN_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"See {document('.env.example')} for every name."
            raise Misconfigured(f"{name} is not a setting of Lazaret.", hint=hint)
    for name in names_passed_over(environ):
        meant = next((one for one in sorted(known) if _is_one_slip(name, one) and not environ.get(one)), None)
        if meant is not None:
            raise Misconfigured(
                f"{name} is not a setting of Lazaret.",
                hint=f"Did you mean {meant}? If {name} is another program's: unset it here.",
            )


def names_passed_over(environ: Mapping[str, str]) -> list[str]:
    """What begins like settings of ours and is none: another program's, as far as we can tell."""
    known = known_names()
    return sorted(name for name in environ if name.startswith(_SHARED_PREFIXES) and name not in known)


def _is_one_slip(written: str, meant: str) -> bool:
    """Whether one letter is missing, too many or another one, or two neighbours are swapped. Ratios of likeness would
    find TELEGRAM_WEBHOOK_HOST, which others have, as near to TELEGRAM_WEBHOOK_PORT as a real slip."""
    pairs = enumerate(zip(written, meant, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(written), len(meant)))
    rest, wanted = written[same:], meant[same:]
    swapped = rest[1::-1] + rest[2:] if len(rest) > 1 else rest
    return wanted in (rest[1:], swapped) or wanted[1:] in (rest, rest[1:])


def _explain(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_input=False, include_url=False):
        name = str(problem["loc"][0]).upper() if problem["loc"] else "settings"
        problems.append(f"{name}: {problem['msg'].lower()}")
    return "; ".join(dict.fromkeys(problems)) + "."
