"""Host keys that the operator's own list names, held against those that are pinned. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pins:
    """The pins to keep, and whether they are another machine's: then a new epoch begins."""

    host_keys: tuple[str, ...]
    is_another_machine: bool = False


def pins_after(pinned: Sequence[str], named: Sequence[str]) -> Pins:
    """Named keys replace the pinned ones. Naming none changes nothing: a pin is never loosened by leaving it out.

    Keys of which none was pinned are the operator's word that the machine was replaced or installed anew by hand.
    """
    if not named:
        return Pins(tuple(pinned))
    return Pins(tuple(named), is_another_machine=bool(pinned) and not set(pinned) & set(named))
