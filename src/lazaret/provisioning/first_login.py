"""The login that the operator left for the first visit: read right before it is used, never stored, tried once."""

from lazaret.kernel import audit
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.servers.access import Login, PasswordLogin

REFUSED = "first_login_refused"
"""The operation's result says so: a login that was refused is not tried again, lest the server bans us."""


async def first_login(ctx: StepContext, snapshot: Snapshot) -> Login | None:
    """The login, unless there is none or this operation has met its refusal. Raises what reading it raises."""
    if await was_refused(ctx):
        return None
    login = await snapshot.provider.first_login(snapshot.target.provider_id)
    if isinstance(login, PasswordLogin):
        ctx.run.redactor.hide(login.password)
    return login


async def was_refused(ctx: StepContext) -> bool:
    """Whether the server refused it in this operation."""
    async with ctx.run.apply() as (_, operation):
        return operation.result.get(REFUSED) is True


async def note_refused(ctx: StepContext) -> None:
    """The server does not take it."""
    async with ctx.run.apply() as (session, operation):
        operation.result = {**operation.result, REFUSED: True}
        audit.record(
            session,
            audit.WORKER,
            "first_login.refused",
            f"server:{ctx.run.handle}",
            at=ctx.run.clock.now(),
            operation_id=operation.id,
        )
