"""Which process is meant: its id together with the moment of its start, so that a reused id is never mistaken.

Ends exactly the process it is told; looks for nothing by name.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

_POLL_S = 0.05


class ProcessIdentity(BaseModel):
    """A process of this boot of this machine."""

    pid: int
    started: str
    """Opaque: differs between two processes that had the same id."""


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this id now; None when there is none, or only its remains."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # the name in parentheses may hold spaces; state and start time are fields 3 and 22
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return None if fields[0] in "ZX" else ProcessIdentity(pid=pid, started=f"{boot_id}:{fields[19]}")
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    started = asked.stdout.strip()
    return ProcessIdentity(pid=pid, started=started) if started else None


def is_alive(process: ProcessIdentity) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def end(process: ProcessIdentity, *, patience_s: float) -> bool:
    """Ask the process to end, and kill it after `patience_s`. Returns whether it ended by itself."""
    for sign, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 10.0)):
        if not is_alive(process):
            return sign is signal.SIGTERM
        with suppress(ProcessLookupError):
            os.kill(process.pid, sign)
        if _wait_until_gone(process, wait_s):
            return sign is signal.SIGTERM
    return False


def _wait_until_gone(process: ProcessIdentity, wait_s: float) -> bool:
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        _reap(process.pid)
        if not is_alive(process):
            return True
        time.sleep(_POLL_S)
    return False


def _reap(pid: int) -> None:
    """If it was our own child, take its remains away."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
