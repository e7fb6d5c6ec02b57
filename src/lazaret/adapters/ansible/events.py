"""Ansible's events turned into ours, and gathered into a result. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from lazaret.kernel.secrets import Redactor
from lazaret.servers.configuration import PlaybookResult, TaskEvent, TaskState

_SHOWN = 600
"""Characters of a message that are kept."""
_SILENT = {"meta", "ansible.builtin.meta"}
"""Actions that are no task of their own: they have no result, and the total does not count them."""
_SECRET_NAME = re.compile(r"passw|secret|token|credential|(^|_)(api|private|access)_key$", re.IGNORECASE)


def secret_values(variables: Mapping[str, Any]) -> set[str]:
    """The values, however deep, of the operator's variables whose names say that they are secret."""
    found: set[str] = set()

    def look(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for inner, content in value.items():
                look(f"{name}_{inner}" if _SECRET_NAME.search(name) else str(inner), content)
        elif isinstance(value, list | tuple):
            for content in value:
                look(name, content)
        elif _SECRET_NAME.search(name):
            found.add(str(value))

    look("", variables)
    return found


def redactor_for(variables: Mapping[str, Any]) -> Redactor:
    """Hides what `secret_values` finds, in all its spellings."""
    redactor = Redactor()
    for value in secret_values(variables):
        redactor.hide(SecretStr(value))
    return redactor


@dataclass(slots=True)
class Progress:
    """What has been seen of one run so far. `total` is the number of tasks that the playbook has; `redactor`
    hides what nobody may see."""

    total: int
    redactor: Redactor = field(default_factory=Redactor)
    position: int = 0
    changed: int = 0
    failed_task: str = ""
    error: str = ""
    unreachable: bool = False
    report: dict[str, Any] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any], at: datetime) -> TaskEvent | None:
        """Count one event; returns what to show of it."""
        data = event.get("event_data") or {}
        task = str(data.get("task") or "")
        shown = None
        match event.get("event"):
            case "playbook_on_task_start" if data.get("task_action") not in _SILENT:
                self.position = min(self.position + 1, self.total)
                shown = self._show(at, task, TaskState.STARTED)
            case "runner_on_ok":
                shown = self._ok(at, task, data)
            case "runner_on_skipped":
                shown = self._show(at, task, TaskState.SKIPPED)
            case "runner_retry":
                phase = str((data.get("res") or {}).get("phase") or "not finished yet")
                shown = self._show(at, task, TaskState.WAITING, phase)
            case "runner_on_failed" if not data.get("ignore_errors"):
                shown = self._failed(at, task, data, TaskState.FAILED)
            case "runner_on_unreachable":
                self.unreachable = True
                shown = self._failed(at, task, data, TaskState.UNREACHABLE)
        return shown

    def result(self, *, ok: bool, duration_s: float, output: str) -> PlaybookResult:
        """The end of the run; `output` explains a failure that no task explains."""
        said = self.redactor.clean(output).strip()[-_SHOWN:]
        error = self.error or ("" if ok else said or "Ansible ended without saying why.")
        return PlaybookResult(
            ok=ok,
            changed=self.changed,
            duration_s=duration_s,
            failed_task=self.failed_task,
            error=error,
            unreachable=self.unreachable,
            report=self.report,
        )

    def _ok(self, at: datetime, task: str, data: Mapping[str, Any]) -> TaskEvent:
        answer = data.get("res") or {}
        self._keep_report(answer)
        changed = bool(answer.get("changed"))
        self.changed += changed
        state = TaskState.CHANGED if changed else TaskState.OK
        return self._show(at, task, state, duration_s=_seconds(data))

    def _failed(self, at: datetime, task: str, data: Mapping[str, Any], state: TaskState) -> TaskEvent:
        answer = data.get("res") or {}
        self._keep_report(answer)
        self.failed_task = task
        self.error = self.redactor.clean(str(answer.get("msg") or answer.get("stderr") or "no message"))[:_SHOWN]
        return self._show(at, task, state, self.error, duration_s=_seconds(data))

    def _keep_report(self, answer: Mapping[str, Any]) -> None:
        """A module that answers with `report` hands it to whoever ran the playbook."""
        report = answer.get("report")
        if isinstance(report, dict):
            self.report.update(self.redactor.clean_value(report))
        if answer.get("preflight_failed"):
            self.report["preflight_failed"] = True

    def _show(
        self, at: datetime, task: str, state: TaskState, message: str = "", *, duration_s: float | None = None
    ) -> TaskEvent:
        return TaskEvent(at, task, state, self.redactor.clean(message), self.position, self.total, duration_s)


def _seconds(data: Mapping[str, Any]) -> float | None:
    duration = data.get("duration")
    return float(duration) if isinstance(duration, int | float) else None
