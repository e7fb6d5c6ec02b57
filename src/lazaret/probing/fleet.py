"""Doubting oneself: whether what looks like many lost servers is our own blindness. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from lazaret.probing.rules import Rules


class AnchorState(StrEnum):
    """Whether places that have nothing to do with the fleet can be reached from here."""

    REACHABLE = "reachable"
    """At least one answers."""
    UNREACHABLE = "unreachable"
    """None answers."""
    UNKNOWN = "unknown"
    """There is none to ask."""


@dataclass(frozen=True, slots=True)
class FleetVerdict:
    """Whether this observer can be believed."""

    blind: bool
    because: str


def judge_fleet(
    anchors: AnchorState,
    streams_lost: int,
    total: int,
    rules: Rules,
    *,
    is_late: bool = False,
) -> FleetVerdict:
    """Blind: no anchor answers or we run late, and at least half of the streams are lost, one being enough of two."""
    if anchors is not AnchorState.UNREACHABLE and not is_late:
        return FleetVerdict(blind=False, because=f"Anchors are {anchors}.")
    if not streams_lost or streams_lost < rules.blind_share * total:
        return FleetVerdict(blind=False, because=f"Only {streams_lost} of {total} streams are lost.")
    because = f"{streams_lost} of {total} streams are lost and no anchor answers: the fault is likely on our side."
    if anchors is not AnchorState.UNREACHABLE:
        because = (
            f"{streams_lost} of {total} streams are lost while this process runs late: this machine is overloaded."
        )
    return FleetVerdict(blind=True, because=because)
