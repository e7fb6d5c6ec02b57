"""How a host plays faults: three deeds for each. What hosts and the table of faults agree upon."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Play(Generic[H]):
    """One fault on one kind of host."""

    inflict: Callable[[H, Mapping[str, Any]], Awaitable[str]]
    """With checked parameters; returns what `heal` will have to know, which may hold secrets. Raises `Conflict`."""
    heal: Callable[[H, str], Awaitable[None]]
    """Put back what was; idempotent."""
    holds: Callable[[H, str], Awaitable[bool]]
    """Whether it is still there; true when the host cannot be asked."""


@runtime_checkable
class PlaysFaults(Protocol):
    """A host that can play more than a power loss."""

    @property
    def kind(self) -> str:
        """`real` or `simulated`."""
        ...

    @property
    def plays(self) -> Mapping[str, Play[Any]]:
        """By the fault's name."""
        ...
