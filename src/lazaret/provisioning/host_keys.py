"""Host keys of a server: pinned once per epoch. A new epoch is opened only by first contact or by our own reinstall."""

import base64
import binascii
import hashlib
from collections.abc import Sequence

from lazaret.kernel import audit
from lazaret.provisioning.context import ROOT_PASSWORD, StepContext, secret_owner
from lazaret.servers import store as servers

NAME_THE_KEY = "write its new host key into the hosts file (host_keys) and provision it again"
"""How the operator tells of another machine where we cannot reinstall one ourselves."""


async def pin(ctx: StepContext, host_keys: Sequence[str], *, opened_by: str) -> None:
    """Pin `host_keys` unless the server has pinned ones, and say that they were taken on trust."""
    async with ctx.run.apply() as (session, operation):
        server = await servers.get_server(session, ctx.run.handle, for_update=True)
        if server.host_keys:
            return
        if not server.host_key_opened_by:
            server.host_key_epoch += 1
            server.host_key_opened_by = opened_by
        server.host_keys = list(host_keys)
        audit.record(
            session,
            audit.WORKER,
            "server.pin_host_key",
            f"server:{server.handle}",
            at=ctx.run.clock.now(),
            operation_id=operation.id,
            epoch=server.host_key_epoch,
            host_keys=list(host_keys),
        )
        epoch = server.host_key_epoch
    shown = ", ".join(fingerprint(key) for key in host_keys)
    await ctx.run.note(f"host key trusted on first use, epoch {epoch} ({opened_by}): {shown}")


def fingerprint(host_key: str) -> str:
    """`<type> SHA256:<hash>`, as OpenSSH shows it."""
    kind, _, material = host_key.partition(" ")
    try:
        digest = hashlib.sha256(base64.b64decode(material, validate=True)).digest()
    except binascii.Error:
        return kind
    return f"{kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


async def open_epoch(ctx: StepContext, *, opened_by: str) -> None:
    """Our own reinstall made a new machine of it: forget the old keys and password, once per `opened_by`."""
    async with ctx.run.apply() as (session, operation):
        server = await servers.get_server(session, ctx.run.handle, for_update=True)
        if server.host_key_opened_by == opened_by:
            return
        server.host_key_epoch += 1
        server.host_key_opened_by = opened_by
        server.host_keys = []
        server.provisioned_at = None
        server.baseline_version = None
        await ctx.parts.secrets.forget(session, secret_owner(server.handle), ROOT_PASSWORD)
        audit.record(
            session,
            audit.WORKER,
            "server.open_host_key_epoch",
            f"server:{server.handle}",
            at=ctx.run.clock.now(),
            operation_id=operation.id,
            epoch=server.host_key_epoch,
            opened_by=opened_by,
        )
