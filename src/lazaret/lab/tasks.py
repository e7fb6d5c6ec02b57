"""Tasks of the provider: their names, how long they take, what they carry, and how a result is worded.

Values and pure functions; `cloud` runs them, `effects` does them to a host.
"""

import html
import secrets
import string
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer, SecretStr

from lazaret.lab.calls import Call

StoredSecret = Annotated[SecretStr, PlainSerializer(lambda value: value.get_secret_value(), when_used="json")]
"""A secret that is hidden in every repr and log, and written out only into the lab's own state file."""

PasswordForm = Literal["plain", "html", "multiline", "missing"]


@dataclass(frozen=True, slots=True)
class TaskRecipe:
    """What a kind of task is called and how long it takes at time scale 1."""

    name: str
    duration_s: float


RECIPES: dict[Call, TaskRecipe] = {
    Call.REBOOT: TaskRecipe("server_reboot", 60),
    Call.REINSTALL: TaskRecipe("server_recreate", 340),
    Call.RESET_PASSWORD: TaskRecipe("server_reset_password", 45),
    Call.FLUSH_FIREWALL: TaskRecipe("server_flush_iptables", 20),
    Call.WEB_CONSOLE: TaskRecipe("server_web_console", 15),
    Call.RENAME: TaskRecipe("server_domain", 30),
    Call.CHANGE_PTR: TaskRecipe("server_ptr", 30),
    Call.CHANGE_DNS: TaskRecipe("server_dns", 20),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the provider's time runs: 1.0 is realistic, 0.02 makes a reinstall of 340 s last 6.8 s."""

    time_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.time_scale <= 10:
            raise ValueError("time scale must be more than 0 and at most 10")

    @property
    def queue_s(self) -> float:
        """How long a task waits until a worker of the provider takes it."""
        return 10 * self.time_scale

    @property
    def boot_after_reinstall_s(self) -> float:
        """How long a host stays unreachable after its reinstall is reported complete."""
        return 60 * self.time_scale

    def duration_s(self, call: Call) -> float:
        """How long a task of this kind runs."""
        return RECIPES[call].duration_s * self.time_scale


class TaskPlan(BaseModel):
    """How a task will go, fixed by the switches at the moment when it was ordered."""

    fails_with: str | None = None
    hangs: bool = False
    password_form: PasswordForm = "html"  # noqa: S105 - the name of a form
    ssh_key_honoured: bool = False


class LabTask(BaseModel):
    """One task of one server; `parameters` are what the caller sent."""

    task_id: int
    call: Call
    activated: datetime
    assigned: datetime | None = None
    completed: datetime | None = None
    parameters: dict[str, str] = Field(default_factory=dict)
    plan: TaskPlan = TaskPlan()
    new_password: StoredSecret | None = None
    """Chosen when the task was ordered, so that a task that is run again after a restart sets the same."""
    results: StoredSecret = SecretStr("")

    @property
    def name(self) -> str:
        """What the provider calls this kind of task."""
        return RECIPES[self.call].name

    @property
    def is_over(self) -> bool:
        return self.completed is not None


def new_password(*, awkward: bool = False) -> SecretStr:
    """A fresh root password of 14 letters and digits; `awkward` adds quotes, `<`, `&` and spaces."""
    letters = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(14))
    if awkward:
        letters = f"""{letters[:4]}"<{letters[4:7]}& '> {letters[7:]}"""
    return SecretStr(letters)


def password_text(password: SecretStr, *, form: PasswordForm, hostname: str, address: str) -> SecretStr:
    """The result of a finished reset or reinstall. It is text for a web page, so the password is HTML-escaped."""
    value = html.escape(password.get_secret_value(), quote=True)
    link = f"""Password: \t<a onclick='this.innerHTML = "{value}"'>Click here to see password</a>\n"""
    forms = {
        "plain": f"Password: {value}\n",
        "html": f"Host: {hostname}\n{link}",
        "multiline": (
            f"Creating disk... done\nConfiguring network... done\nStarting... done\n\n"
            f"Host:  {hostname}\nBandwidth:  8192 GB\nCPU:  2\nRAM:  4096 MB\nIP:  {address}\n"
            f"Password:  {value}\nThank you for waiting.\n"
        ),
        "missing": f"Host: {hostname}\nOperation completed.\n",
    }
    return SecretStr(forms[form])
