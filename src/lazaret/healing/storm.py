"""The storm stop: when many servers are unwell at once one cause is likely, and remedies would make it worse. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from lazaret.probing.rules import Rules

MAY_GO = "A canary may go."


@dataclass(frozen=True, slots=True)
class StormState:
    """One storm. While `active`, only the canary may be treated."""

    active: bool
    because: str
    since: datetime | None = None
    quiet_since: datetime | None = None
    """When the number of the unwell last grew, or a canary failed."""
    worst: int = 0
    canary: str | None = None
    canary_allowed: bool = False
    released: bool = False
    """A canary came back: the others may follow, although many are still unwell."""

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "active": self.active,
            "because": self.because,
            "since": self.since.isoformat() if self.since else None,
            "quiet_since": self.quiet_since.isoformat() if self.quiet_since else None,
            "worst": self.worst,
            "canary": self.canary,
            "canary_allowed": self.canary_allowed,
            "released": self.released,
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "StormState":
        """What `as_json` gave."""
        moments = {
            name: datetime.fromisoformat(raw[name]) if raw.get(name) else None for name in ("since", "quiet_since")
        }
        return cls(**{**raw, **moments})

    def with_canary(self, handle: str) -> "StormState":
        """This server goes first."""
        return replace(self, canary=handle, because=self.because.replace(MAY_GO, f"{handle} goes first."))

    def without_canary(self, at: datetime, *, waits: bool = False) -> "StormState":
        """The canary's recovery ended and proved nothing, or waits for people: another may go after a quiet time."""
        because = f"The recovery of the canary {self.canary} ended without proof: no remedy begins for now."
        if waits:
            because = f"The recovery of the canary {self.canary} waits: no remedy begins for now."
        return replace(self, because=because, canary=None, canary_allowed=False, quiet_since=at)

    def after_canary(self, *, helped: bool, at: datetime) -> "StormState":
        """The canary's recovery ended."""
        if helped:
            because = f"The canary {self.canary} came back: the others may follow."
            return replace(self, active=False, released=True, because=because, canary=None, canary_allowed=False)
        because = f"The canary {self.canary} did not come back: no remedy begins for now."
        return replace(self, because=because, canary=None, canary_allowed=False, quiet_since=at)


def is_over_the_line(unwell: int, total: int, rules: Rules) -> bool:
    """More than a fifth, at least three; or every one of at least two."""
    return unwell > max(rules.storm_least, rules.storm_share * total) or (total > 1 and unwell >= total)


def judge_storm(unwell: int, total: int, before: StormState | None, now: datetime, rules: Rules) -> StormState:
    """The storm after a new count of the servers that are lost, suspect, unknown or being recovered."""
    over = is_over_the_line(unwell, total, rules)
    if before is None or not (before.active or before.released):
        if not over:
            return StormState(active=False, because=f"{unwell} of {total} servers are unwell: below the line.")
        return _active(StormState(True, "", since=now, quiet_since=now, worst=unwell), unwell, total, now, rules)
    if unwell == 0 or (before.released and not over):
        return StormState(active=False, because=f"{unwell} of {total} servers are unwell: the storm is over.")
    if unwell > before.worst:
        grown = replace(before, active=True, released=False, worst=unwell, quiet_since=now, canary=None)
        return _active(grown, unwell, total, now, rules)
    if before.released:
        return before
    return _active(before, unwell, total, now, rules)


def _active(state: StormState, unwell: int, total: int, now: datetime, rules: Rules) -> StormState:
    assert state.quiet_since is not None
    go_at = state.quiet_since + timedelta(seconds=rules.storm_quiet_s)
    allowed = now >= go_at
    when = MAY_GO if allowed else f"A canary may go at {go_at:%H:%M:%S} UTC if no more are lost."
    if state.canary:
        when = f"{state.canary} goes first."
    because = f"{unwell} of {total} servers are unwell at once; one cause is likely. {when}"
    return replace(state, active=True, canary_allowed=allowed, because=because)
