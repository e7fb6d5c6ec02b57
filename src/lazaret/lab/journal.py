"""What really happened in the lab: every action call received and every effect done, in order.

Append-only; in memory for tests and, where a file is given, as JSON lines. Never holds a password.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from lazaret.kernel.clock import Clock
from lazaret.lab.calls import Call


class EntryKind(StrEnum):
    """Where an entry comes from."""

    CALL = "call"
    """The provider's API received an action call."""
    EFFECT = "effect"
    """Something was done to a host."""
    CONTROL = "control"
    """The operator of the lab did something by the control API."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `outcome` is one word: accepted, refused, lost, done, failed; `note` says why, never a secret."""

    seq: int
    at: datetime
    kind: EntryKind
    action: str
    server_id: int | None
    outcome: str
    task_id: int | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "at": self.at.isoformat(), "kind": self.kind.value}


class Journal:
    """The lab's memory. Reading calls are only counted, by kind."""

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._path = path
        self._entries: list[Entry] = list(_read(path)) if path is not None and path.exists() else []
        self.reads: Counter[str] = Counter()

    def call(
        self, action: Call, server_id: int | None, outcome: str, *, task_id: int | None = None, note: str = ""
    ) -> None:
        """An action call was received; `accepted` with its task, `refused`, or `lost` before it was executed."""
        self._append(EntryKind.CALL, action.value, server_id, outcome=outcome, task_id=task_id, note=note)

    def effect(self, action: str, server_id: int, outcome: str, *, task_id: int | None = None, note: str = "") -> None:
        """Something was done to a host, or failed."""
        self._append(EntryKind.EFFECT, action, server_id, outcome=outcome, task_id=task_id, note=note)

    def control(self, action: str, server_id: int | None, *, note: str = "") -> None:
        """The operator of the lab did something."""
        self._append(EntryKind.CONTROL, action, server_id, outcome="done", note=note)

    def entries(
        self,
        *,
        kind: str | None = None,
        action: str | None = None,
        server_id: int | None = None,
        outcome: str | None = None,
        after: int = 0,
    ) -> list[Entry]:
        """The entries that match all that is given, oldest first; `after` is a sequence number."""
        return [
            entry
            for entry in self._entries[after:]
            if kind in (None, entry.kind)
            and action in (None, entry.action)
            and server_id in (None, entry.server_id)
            and outcome in (None, entry.outcome)
        ]

    def _append(
        self,
        kind: EntryKind,
        action: str,
        server_id: int | None,
        *,
        outcome: str,
        task_id: int | None = None,
        note: str = "",
    ) -> None:
        entry = Entry(len(self._entries) + 1, self._clock.now(), kind, action, server_id, outcome, task_id, note)
        self._entries.append(entry)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                # the newline comes first: the last line of a lab that was killed may lack its own
                file.write("\n" + json.dumps(entry.as_json()))


def _read(path: Path) -> Iterator[Entry]:
    seq = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except ValueError:  # empty, or cut short
            continue
        seq += 1
        at, kind = datetime.fromisoformat(data["at"]), EntryKind(data["kind"])
        yield Entry(**{**data, "seq": seq, "at": at, "kind": kind})
