"""Steps: wait until SSH answers, and pin the key with which it does."""

from collections.abc import Sequence

from lazaret.operations.outcome import Advance, GiveUp, Outcome
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.host_keys import NAME_THE_KEY, pin
from lazaret.servers.access import AccessError, HostKeyChanged
from lazaret.servers.provider import Capability

POLL_S = 1.0


async def wait_for_ssh(ctx: StepContext) -> Outcome:
    """Ask again every second until the host presents its keys, or the step's time is over."""
    snapshot = await ctx.snapshot()
    deadline = ctx.run.clock.monotonic() + ctx.parts.limits.ssh_s
    while True:
        try:
            await ctx.parts.access.read_host_keys(snapshot.endpoint, timeout_s=5)
        except AccessError:
            if ctx.run.clock.monotonic() >= deadline:
                raise
        else:
            return Advance("SSH answers")
        await ctx.run.clock.sleep(POLL_S)


async def pin_host_key(ctx: StepContext) -> Outcome:
    """First contact of an epoch pins; afterwards the host must present a pinned key."""
    snapshot = await ctx.snapshot()
    presented = await ctx.parts.access.read_host_keys(snapshot.endpoint)
    if not snapshot.host_keys:
        await pin(ctx, presented, opened_by="first contact")
        return Advance(f"pinned {len(presented)} host key(s)")
    if not _kinds(presented) & _kinds(snapshot.host_keys):
        return Advance("the host presents a key of another kind first; the login asks for the pinned one")
    if not set(presented) & set(snapshot.host_keys):
        return GiveUp(
            HostKeyChanged(
                f"{ctx.run.handle} presents another host key than the one pinned for it.",
                hint=_if_it_was_you(snapshot),
            )
        )
    return Advance("the host presents the pinned key")


def _kinds(host_keys: Sequence[str]) -> set[str]:
    return {host_key.partition(" ")[0] for host_key in host_keys}


def _if_it_was_you(snapshot: Snapshot) -> str:
    cure = "ask for a rebuild" if Capability.REINSTALL in snapshot.provider.capabilities else NAME_THE_KEY
    return f"Nothing secret was sent. If you reinstalled it yourself, {cure}."
