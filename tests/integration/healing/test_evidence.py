"""Evidence: what a server can still show, whatever it shows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from lazaret.healing.evidence import PIECES, gather_evidence
from lazaret.healing.store import evidence_of
from lazaret.servers.access import CommandResult, RemoteSession
from tests.integration.healing.conftest import OpenPort, Recovery


class Session:
    async def run(self, command: str, *, stdin: str = "", timeout_s: float = 30) -> CommandResult:
        return CommandResult(0, "GET /\x00 HTTP/1.1", "")


class LoggedByStrangers(OpenPort):
    """Everybody who asks a service for something writes its log."""

    @asynccontextmanager
    async def connect(self, *_: object, **__: object) -> AsyncIterator[RemoteSession]:
        yield Session()


async def test_evidence_that_no_table_can_hold_is_kept_with_a_mark(recovery: Recovery) -> None:
    provisioning = replace(recovery.ctx.parts.provisioning, access=LoggedByStrangers(our_key="ours"))
    ctx = replace(recovery.ctx, parts=replace(recovery.ctx.parts, provisioning=provisioning))
    assert "kept as evidence" in await gather_evidence(ctx)
    async with ctx.run.db.transaction() as session:
        pieces = await evidence_of(session, ctx.incident_id)
    assert [piece.content for piece in pieces] == ["GET /\ufffd HTTP/1.1"] * len(PIECES)
