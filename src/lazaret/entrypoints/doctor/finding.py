"""What a check finds, and what it may look at."""

import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from lazaret.kernel.clock import Clock, SystemClock
from lazaret.kernel.database import Database
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings
from lazaret.servers.access import PortState

KNOCK_S = 3.0


class State(StrEnum):
    """How a part is."""

    OK = "ok"
    """It is as it should be."""
    MISSING = "missing"
    """Something works without it, or it is not there yet."""
    BROKEN = "broken"
    """It does not work: exit code 1."""
    UNKNOWN = "unknown"
    """It could not be looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: what was found, and what to do about it."""

    check: str
    state: State
    what: str
    cure: str = ""
    is_to_copy: bool = False
    """Somebody will copy what was found: it stands below the table, which would fold it."""


class NotLookedAt(Exception):
    """A check cannot be made; the text says why."""

    def __init__(self, why: str, cure: str) -> None:
        super().__init__(why)
        self.why, self.cure = why, cure


START = "Start Lazaret: `lazaret up` makes it."


def _free_mb(path: Path) -> int:
    return shutil.disk_usage(path).free // 1048576


async def _knock(host: str, port: int) -> PortState:
    from lazaret.adapters.ssh import AsyncSshAccess  # noqa: PLC0415 - heavy

    return await AsyncSshAccess().probe_port(host, port, timeout_s=KNOCK_S)


@dataclass(slots=True)
class Patient:
    """The installation under examination, and what earlier checks learned that later ones need."""

    settings: Settings
    clock: Clock = field(default_factory=SystemClock)
    programs: Path = Path(sys.executable).parent
    """Where the programs of our own libraries are."""
    free_mb: Callable[[Path], int] = _free_mb
    knock: Callable[[str, int], Awaitable[PortState]] = _knock
    """Whether anything answers at a host and a port, within a few seconds."""
    redactor: Redactor = field(default_factory=Redactor)
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What was opened for the examination and ends with it."""
    is_new: bool = False
    """Nothing was ever stored: there is no database yet, or no table in it."""
    conninfo: str = ""
    """Set once the database answered."""
    opened: Database | None = None
    providers_date: datetime | None = None
    """What the provider's clock said."""

    @property
    def db(self) -> Database:
        """The database that answered. Raises `NotLookedAt`."""
        if self.opened is None and self.is_new:
            raise NotLookedAt("there is no database yet", START)
        if self.opened is None:
            raise NotLookedAt("the database does not answer", "Mend the database first.")
        return self.opened


Check = Callable[[str, Patient], Awaitable[Finding]]
"""Given its name, it looks at one thing. What it raises is a finding too."""
Checks = Sequence[tuple[str, Check]]
