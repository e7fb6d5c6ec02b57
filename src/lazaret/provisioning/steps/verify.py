"""Step: prove from outside that the server is what it should be. What was asked for does not count, only its effect."""

import asyncio

from lazaret.kernel.errors import LazaretError
from lazaret.operations.outcome import Advance, GiveUp, Outcome, Retry
from lazaret.operations.store import steps_of
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.steps.try_access_key import BASELINE_FILE
from lazaret.servers.access import HostKeyChanged, PortState

MUST_STAY_CLOSED = (2375, 2376, 3306, 5432, 6379, 8080, 9090, 9100)
"""Ports of the services that are most often left open by mistake."""
SHORTEST_PATIENCE_S = 0.3
LONGEST_PATIENCE_S = 2.0


class VerificationFailed(LazaretError):
    """The server does not show the effect of what was done to it."""

    code = "verification_failed"
    retryable = True


async def verify(ctx: StepContext) -> Outcome:
    """Key login in a new session, no password login, no port open that should not be, the baseline's own mark."""
    snapshot = await ctx.snapshot()
    try:
        problems = [problem for check in await _look(ctx, snapshot) for problem in check]
    except HostKeyChanged as error:
        return GiveUp(error)
    if problems:
        return await _mend(ctx, "; ".join(problems))
    return Advance("proved from outside: key login, no password login, only the wanted ports open")


async def _mend(ctx: StepContext, problems: str) -> Outcome:
    """Converge it, once in each attempt."""
    async with ctx.run.db.transaction() as session:
        steps = await steps_of(session, ctx.run.operation_id)
    if any(step.name == "converge" and step.attempt == ctx.run.attempt for step in steps):
        return Retry(VerificationFailed(f"{problems}.", hint="The next attempt converges it again."))
    return Advance(f"not as it should be: {problems}", to="converge")


async def _look(ctx: StepContext, snapshot: Snapshot) -> list[list[str]]:
    return list(
        await asyncio.gather(_key_login(ctx, snapshot), _password_login(ctx, snapshot), _open_ports(ctx, snapshot))
    )


async def _key_login(ctx: StepContext, snapshot: Snapshot) -> list[str]:
    connection = ctx.parts.access.connect(snapshot.endpoint, host_keys=snapshot.host_keys, login=ctx.login)
    async with connection as session:
        version = (await session.run(f"cat {BASELINE_FILE} 2>/dev/null || true")).stdout.strip()
    if version != ctx.parts.baseline_version:
        return [f"the baseline on the server is {version or 'missing'}, not {ctx.parts.baseline_version}"]
    return []


async def _password_login(ctx: StepContext, snapshot: Snapshot) -> list[str]:
    offered = await ctx.parts.access.offers_password_login(snapshot.endpoint, host_keys=snapshot.host_keys)
    return ["the server still accepts passwords"] if offered else []


async def _open_ports(ctx: StepContext, snapshot: Snapshot) -> list[str]:
    patience_s = await _patience_s(ctx, snapshot)
    states = await asyncio.gather(
        *(
            ctx.parts.access.probe_port(snapshot.endpoint.address, port, timeout_s=patience_s)
            for port in MUST_STAY_CLOSED
        )
    )
    opened = [str(port) for port, state in zip(MUST_STAY_CLOSED, states, strict=True) if state is PortState.OPEN]
    return [f"open from outside: {', '.join(opened)}"] if opened else []


async def _patience_s(ctx: StepContext, snapshot: Snapshot) -> float:
    """How long a port that stays silent is waited for: twenty times what an open one takes to answer."""
    begun = ctx.run.clock.monotonic()
    await ctx.parts.access.probe_port(snapshot.endpoint.address, snapshot.endpoint.port)
    return min(LONGEST_PATIENCE_S, max(SHORTEST_PATIENCE_S, 20 * (ctx.run.clock.monotonic() - begun)))
