"""In which order services start: what is depended on goes first. Pure."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from lazaret.kernel.errors import InvalidInput


def start_order(depends_on: Mapping[str, Sequence[str]]) -> list[str]:
    """Every service after those that it depends on, else by name. What is not among them is left out.

    Raises `InvalidInput` for a circle, naming it.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(depends_on):
        sorter.add(name, *sorted(other for other in depends_on[name] if other in depends_on))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise InvalidInput(f"The services depend on each other in a circle: {circle}.", hint="Break it.") from None
