"""The state of the recovery graph: what a checkpoint keeps. No secret and nothing that the tables already say."""

from typing import TypedDict


class PlannedStep(TypedDict):
    """One rung of the ladder, as plain values."""

    remedy: str
    needs_approval: bool
    because: str


class RecoveryState(TypedDict):
    """One recovery. `rung` points into `ladder`."""

    operation_id: int
    server_to_provision: str
    is_incident_recovery: bool
    incident_id: int
    condition: str
    ladder: list[PlannedStep]
    rung: int
    looked_at: str
    """When the server was last looked at, ISO 8601; a look that is fresh is not made again."""
    can_log_in: bool
    """Whether that look could log in."""
    cleared_at: str
    """When the rung was last found to be free to be climbed, ISO 8601. Older checkpoints lack it."""
    helped_by: str
    because: str
    """Why it is handed over to a person."""
    recovery_result: dict[str, object]
