"""The one-time root password of a server: stored before it is used, forgotten once key login is proved."""

from pydantic import SecretStr

from lazaret.kernel import audit
from lazaret.operations.model import Operation
from lazaret.provisioning.context import ROOT_PASSWORD, StepContext, secret_owner

ASKED = "root_password_asked"
"""The operation's result says since when a person is asked for one, in each part of the operation (`run.scope`)."""


def answer_question(operation: Operation) -> None:
    """A person gave one to this locked operation: should it be refused, they are asked anew."""
    operation.result = {name: value for name, value in operation.result.items() if name != ASKED}


async def stored_password(ctx: StepContext) -> SecretStr | None:
    """The password that we hold, if any."""
    async with ctx.run.db.transaction() as session:
        return await ctx.parts.secrets.get(session, secret_owner(ctx.run.handle), ROOT_PASSWORD)


async def store_password(ctx: StepContext, password: SecretStr, *, task_id: int | None) -> None:
    """Keep the password, encrypted, before anybody uses it."""
    now = ctx.run.clock.now()
    async with ctx.run.apply() as (session, operation):
        await ctx.parts.secrets.put(session, secret_owner(ctx.run.handle), ROOT_PASSWORD, password, at=now)
        audit.record(
            session,
            audit.WORKER,
            "secret.store",
            f"server:{ctx.run.handle}",
            at=now,
            operation_id=operation.id,
            provider_task_id=task_id,
            kind=ROOT_PASSWORD,
        )


async def forget_password(ctx: StepContext, *, why: str) -> None:
    """Drop the password if we hold one."""
    async with ctx.run.apply() as (session, operation):
        if not await ctx.parts.secrets.forget(session, secret_owner(ctx.run.handle), ROOT_PASSWORD):
            return
        audit.record(
            session,
            audit.WORKER,
            "secret.forget",
            f"server:{ctx.run.handle}",
            at=ctx.run.clock.now(),
            operation_id=operation.id,
            kind=ROOT_PASSWORD,
            why=why,
        )
