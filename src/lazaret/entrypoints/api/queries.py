"""Every route knows its query parameters; one that it does not know is refused, because a misspelt filter shows all."""

import difflib

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from lazaret.kernel.errors import InvalidInput


def refuse_unknown_queries(request: Request) -> None:
    """Raise `InvalidInput` with the nearest name, if the request has a query parameter that its route has not."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = sorted(_names(route.dependant))
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(known) or 'none'}."
            raise InvalidInput(f"This call has no query parameter {name[:60]!r}.", hint=hint)


def _names(dependant: Dependant) -> set[str]:
    own = {one.alias for one in dependant.query_params}
    return own.union(*(_names(inner) for inner in dependant.dependencies))
