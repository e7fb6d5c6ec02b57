"""A server of the lab's account: what the provider knows about it.

Values only. The machine behind it is a `LabHost`; the wire forms are in `shapes`.
"""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field, SecretStr

from lazaret.kernel.errors import InvalidInput
from lazaret.lab.tasks import LabTask, StoredSecret
from lazaret.servers.provider import OsTemplate

DEBIAN_13: Final = OsTemplate("kvm-debian-13-x86_64", "Debian 13")
DEBIAN_12: Final = OsTemplate("kvm-debian-12-x86_64", "Debian 12")
UBUNTU_24_04: Final = OsTemplate("kvm-ubuntu-24.04-gpt-x86_64", "Ubuntu 24.04")
LAST_TASKS_KEPT: Final = 20

_BASE_36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Plan(BaseModel):
    """What was rented. Sizes in MB."""

    package_id: int = 611
    cpu_cores: int = 2
    cpu_frequency_mhz: int = 2600
    ram_mb: int = 4096
    disk_mb: int = 40960
    bandwidth_mb: int = 8388608


class ActiveFault(BaseModel):
    """A fault that is on."""

    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    memory: StoredSecret = SecretStr("")
    """What healing it takes, in the words of the host that plays it; may hold keys and passwords."""

    def __str__(self) -> str:
        """Name and parameters: `cut direction=in`."""
        return " ".join([self.name, *(f"{key}={value}" for key, value in self.parameters.items() if value != "")])


class CloudServer(BaseModel):
    """One rented server. Tasks are in the order in which they were ordered."""

    server_id: int
    hostname: str
    label: str
    os: str
    address: str
    ssh_port: int
    created_at: datetime
    root_password: StoredSecret
    is_powered: bool = True
    """Whether the host should be on; false only while the lab's operator holds it off."""
    plan: Plan = Plan()
    additional_ips: list[str] = Field(default_factory=list)
    dns_servers: list[str] = Field(default_factory=list)
    tasks: list[LabTask] = Field(default_factory=list)
    faults: list[ActiveFault] = Field(default_factory=list)
    """What was inflicted and not healed, oldest first; some may be over by now."""

    @property
    def active_task(self) -> LabTask | None:
        """The oldest task that is not over."""
        return next((task for task in self.tasks if not task.is_over), None)

    @property
    def finished_tasks(self) -> list[LabTask]:
        """Oldest first."""
        return [task for task in self.tasks if task.is_over]

    def forget_old_tasks(self) -> None:
        """Keep what the provider would still tell."""
        surplus = {task.task_id for task in self.finished_tasks[:-LAST_TASKS_KEPT]}
        self.tasks = [task for task in self.tasks if task.task_id not in surplus]


def default_hostname(server_id: int) -> str:
    """The provider's name for a Linux server: its id in base 36."""
    digits = ""
    rest = server_id
    while rest:
        rest, digit = divmod(rest, 36)
        digits = _BASE_36[digit] + digits
    return f"{digits}.l.time4vps.cloud"


def handle_of(server_id: int) -> str:
    """The name under which Lazaret knows the server."""
    return f"vps-{server_id}"


def server_id_of(handle: str) -> int:
    """The provider's id in a handle `vps-<id>`. Raises `InvalidInput`."""
    digits = handle.removeprefix("vps-")
    if digits == handle or not digits.isascii() or not digits.isdigit():
        raise InvalidInput(f"{handle!r} is no handle.", hint="A handle is vps- and the provider's id: vps-900001.")
    return int(digits)
