"""Who may call what: bearer tokens and roles. Default closed: a route without a role does not exist but for health."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from lazaret.entrypoints.api.queries import refuse_unknown_queries
from lazaret.entrypoints.office import Office
from lazaret.kernel.audit import Actor, Channel
from lazaret.kernel.errors import Forbidden, Unauthenticated
from lazaret.users.model import Role
from lazaret.users.store import Caller, caller_of

_bearer = HTTPBearer(auto_error=False, description="A token made with `lazaret token create`.")


def office_of(request: Request) -> Office:
    """The office that this app was made for."""
    office: Office = request.app.state.office
    return office


OfficeDep = Annotated[Office, Depends(office_of)]


async def _authenticate(
    office: OfficeDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Caller:
    if credentials is None:
        raise Unauthenticated("This call needs a token.", hint="Send the header: Authorization: Bearer TOKEN")
    async with office.db.transaction() as session:
        return await caller_of(session, SecretStr(credentials.credentials), at=office.clock.now())


def require(role: Role) -> Callable[..., Awaitable[Caller]]:
    """A dependency that lets through callers whose role includes `role`, and who ask for what there is.

    The routes that need no role are asked by probes, which may add parameters of their own.
    """

    async def check(request: Request, caller: Annotated[Caller, Depends(_authenticate)]) -> Caller:
        if not caller.role.includes(role):
            raise Forbidden(
                f"The token {caller.name!r} has the role {caller.role}; this call needs {role}.",
                hint="Ask an administrator for a token with that role.",
            )
        refuse_unknown_queries(request)
        return caller

    return check


Viewer = Annotated[Caller, Depends(require(Role.VIEWER))]
Operator = Annotated[Caller, Depends(require(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(require(Role.ADMIN))]


def actor_of(caller: Caller) -> Actor:
    """The caller, for the audit log."""
    return Actor(caller.name, Channel.API)
