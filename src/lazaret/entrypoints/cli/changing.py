"""The command that changes what people say of a server: its policy, its notes, whether it is cared for."""

from typing import Annotated

import typer

from lazaret.entrypoints.cli.operating import Handle, Reason
from lazaret.entrypoints.cli.session import actor, command, office
from lazaret.kernel.errors import InvalidInput
from lazaret.provisioning.requests import SetByHand, describe, set_status
from lazaret.servers.model import RebuildPolicy


@command
async def change(
    handle: Handle,
    rebuild_policy: Annotated[
        RebuildPolicy | None,
        typer.Option(help="May a recovery reinstall it, which erases its data: never, after a yes, or by itself?"),
    ] = None,
    notes: Annotated[
        str | None,
        typer.Option(help="What others should know of it, in a line; by the API it may be longer, or empty."),
    ] = None,
    status: Annotated[
        SetByHand | None,
        typer.Option(help="Out of automatic care; back into it, as what it is; out of service for good."),
    ] = None,
    reason: Reason = "",
) -> None:
    """Change a server's rebuild policy or notes, or take it out of Lazaret's care and back."""
    if rebuild_policy is None and notes is None and status is None:
        raise InvalidInput("Nothing to change.", hint="Give --rebuild-policy, --notes or --status.")
    async with office() as here, here.db.transaction() as session:
        now = here.clock.now()
        if status is not None:
            await set_status(session, handle, status, actor(), at=now, reason=reason)
        server = await describe(
            session, handle, actor(), at=now, rebuild_policy=rebuild_policy, notes=notes, reason=reason
        )
    typer.echo(f"{handle} is {server.status}; reinstall in a recovery: {server.rebuild_policy}.")
