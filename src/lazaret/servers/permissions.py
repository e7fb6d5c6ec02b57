"""What the operator allows us to change: per provider, by the provider's own ids. Asked anew each time.

An answer may change while we run, because a list may be a file. Who is not listed is not managed: there is no default.
"""

from collections.abc import Callable, Collection, Mapping

from lazaret.servers.guard import Target, require_touchable

Listed = Callable[[], Collection[int]]
"""Gives the ids that may be changed now. Never raises: what cannot be read allows nothing."""


class Permissions:
    """The operator's lists, by the name of the provider."""

    def __init__(self, lists: Mapping[str, Listed]) -> None:
        self._lists = dict(lists)

    def ids_of(self, provider: str) -> Collection[int]:
        """The ids of this provider's servers that may be changed; none for a provider without a list."""
        listed = self._lists.get(provider)
        return frozenset() if listed is None else listed()

    def require_touchable(self, target: Target, *, holds: Collection[str] = ()) -> None:
        """Raise `TouchRefused` or `OnHold` unless the guard lets this server be touched now, by the lists of now."""
        require_touchable(target, managed_ids=self.ids_of(target.provider), holds=holds)
