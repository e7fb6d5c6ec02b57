"""Ansible's events turned into ours, and gathered into a result. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lazaret.servers.configuration import PlaybookResult, TaskEvent, TaskState

_SHOWN = 600
"""Characters of a message that are kept."""


@dataclass(slots=True)
class Progress:
    """What has been seen of one run so far. `total` is the number of tasks that the playbook has."""

    total: int
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
            case "playbook_on_task_start":
                self.position = min(self.position + 1, self.total)
                shown = self._show(at, task, TaskState.STARTED)
            case "runner_on_ok":
                shown = self._ok(at, task, data)
            case "runner_on_skipped":
                shown = self._show(at, task, TaskState.SKIPPED)
            case "runner_retry":
                shown = self._show(at, task, TaskState.WAITING, "not finished yet")
            case "runner_on_failed" if not data.get("ignore_errors"):
                shown = self._failed(at, task, data, TaskState.FAILED)
            case "runner_on_unreachable":
                self.unreachable = True
                shown = self._failed(at, task, data, TaskState.UNREACHABLE)
        return shown

    def result(self, *, ok: bool, duration_s: float, output: str) -> PlaybookResult:
        """The end of the run; `output` explains a failure that no task explains."""
        error = self.error or ("" if ok else output.strip()[-_SHOWN:] or "Ansible ended without saying why.")
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
        self.error = str(answer.get("msg") or answer.get("stderr") or "no message")[:_SHOWN]
        return self._show(at, task, state, self.error, duration_s=_seconds(data))

    def _keep_report(self, answer: Mapping[str, Any]) -> None:
        """A module that answers with `report` hands it to whoever ran the playbook."""
        report = answer.get("report")
        if isinstance(report, dict):
            self.report.update(report)
        if answer.get("preflight_failed"):
            self.report["preflight_failed"] = True

    def _show(
        self, at: datetime, task: str, state: TaskState, message: str = "", *, duration_s: float | None = None
    ) -> TaskEvent:
        return TaskEvent(at, task, state, message, self.position, self.total, duration_s)


def _seconds(data: Mapping[str, Any]) -> float | None:
    duration = data.get("duration")
    return float(duration) if isinstance(duration, int | float) else None
