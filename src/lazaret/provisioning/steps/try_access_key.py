"""Step: does our key open the server already? Then no password is reset, and a server that is in order is adopted."""

from lazaret.operations.outcome import Advance, GiveUp, Outcome, Retry
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.host_keys import pin
from lazaret.provisioning.passwords import forget_password
from lazaret.servers.access import AccessError, HostKeyChanged, LoginRefused
from lazaret.servers.provider import Capability

BASELINE_FILE = "/etc/lazaret/baseline"
"""On a server: the version of the playbook that last proved itself there."""

CONNECT_TIMEOUT_S = 8


async def try_access_key(ctx: StepContext) -> Outcome:
    """In: converge, or only verify when the baseline holds. Refused: reset the password. Nothing secret is sent."""
    snapshot = await ctx.snapshot()
    try:
        host_keys = snapshot.host_keys or await ctx.parts.access.read_host_keys(
            snapshot.endpoint, timeout_s=CONNECT_TIMEOUT_S
        )
        version = await _baseline_on(ctx, snapshot, host_keys)
    except HostKeyChanged as error:
        return GiveUp(error)
    except LoginRefused:
        return Advance("our key is not accepted yet", to="reset_password")
    except AccessError as error:
        if snapshot.provisioned:
            return Retry(error)  # a password would not open a machine that does not answer
        # Where no password can be reset, the one that a person knows opens nothing before SSH answers.
        can_reset = Capability.RESET_PASSWORD in snapshot.provider.capabilities
        return Advance(f"no answer on SSH yet ({error.code})", to="reset_password" if can_reset else "wait_for_ssh")
    await pin(ctx, host_keys, opened_by="first contact")
    await forget_password(ctx, why="our key works")
    if version and version == ctx.parts.baseline_version and not snapshot.params.get("converge"):
        return Advance("our key works and the baseline holds: taken over as it is", to="verify")
    return Advance("our key works", to="converge")


async def _baseline_on(ctx: StepContext, snapshot: Snapshot, host_keys: tuple[str, ...]) -> str:
    connection = ctx.parts.access.connect(
        snapshot.endpoint, host_keys=host_keys, login=ctx.login, timeout_s=CONNECT_TIMEOUT_S
    )
    async with connection as session:
        result = await session.run(f"cat {BASELINE_FILE} 2>/dev/null || true")
        return result.stdout.strip()
