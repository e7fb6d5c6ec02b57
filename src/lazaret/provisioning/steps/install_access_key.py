"""Step: put our public key on the server with a one-time login, and prove it in a second session."""

from pathlib import Path

from lazaret.kernel.errors import Conflict
from lazaret.operations.calls import was_made
from lazaret.operations.outcome import Advance, Outcome
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.provisioning.first_login import first_login, note_refused
from lazaret.provisioning.passwords import forget_password, stored_password
from lazaret.provisioning.steps.reset_password import ask_for_password
from lazaret.servers.access import Login, LoginRefused, PasswordLogin
from lazaret.servers.provider import Capability

SCRIPT = (Path(__file__).parent / "install_access_key.sh").read_text(encoding="utf-8")
EXIT_CONFLICT = 10
"""The script's exit status when it found a conflict and changed nothing."""
PATIENCE_S = 45.0
"""A new password may need so long until the machine accepts it."""
POLL_S = 3.0


class KeyConflict(Conflict):
    """Something on the server stands in the way of our key; nothing was changed."""

    code = "key_conflict"


async def install_access_key(ctx: StepContext) -> Outcome:
    """Install, prove by logging in with the key, then forget the password."""
    await ctx.require_managed()
    snapshot = await ctx.snapshot()
    if await _can_log_in(ctx, snapshot, ctx.login):
        await forget_password(ctx, why="our key works")
        return Advance("our key works already")
    password = await stored_password(ctx)
    login = PasswordLogin(password) if password is not None else await first_login(ctx, snapshot)
    if login is None:
        return Advance("no password at hand", to="reset_password")
    if not await _wait_until_accepted(ctx, snapshot, login):
        return await (_refused(ctx, snapshot) if password is not None else _first_login_refused(ctx))
    await _install(ctx, snapshot, login)
    if not await _can_log_in(ctx, snapshot, ctx.login):
        raise KeyConflict(
            "The key was installed, but the server does not accept it.",
            hint="Look at AuthorizedKeysFile and PermitRootLogin in its sshd configuration.",
        )
    await forget_password(ctx, why="key login is proved")
    return Advance("our key is installed and proved")


async def _first_login_refused(ctx: StepContext) -> Outcome:
    await note_refused(ctx)
    return Advance("the server refuses the login that was left for the first visit", to="reset_password")


async def _refused(ctx: StepContext, snapshot: Snapshot) -> Outcome:
    """The server does not take the password: one reset, then a person."""
    await forget_password(ctx, why="the server refused it")
    can_reset = Capability.RESET_PASSWORD in snapshot.provider.capabilities
    if can_reset and not await was_made(ctx.run, Capability.RESET_PASSWORD):
        return Advance("the server refuses the root password; asking for another", to="reset_password")
    return await ask_for_password(ctx, "The server refuses the root password.")


async def _install(ctx: StepContext, snapshot: Snapshot, login: Login) -> None:
    """Run the script. Raises `KeyConflict` when it found something in the way, and changed nothing."""
    connection = ctx.parts.access.connect(snapshot.endpoint, host_keys=snapshot.host_keys, login=login)
    async with connection as session:
        result = await session.run(SCRIPT, stdin=ctx.parts.key.public_key.strip() + "\n")
    if result.exit_status == EXIT_CONFLICT:
        raise KeyConflict(result.stdout.strip(), hint="Nothing was changed. Mend it and provision again.")
    if not result.ok:
        text = (result.stderr or result.stdout).strip()[:300]
        raise KeyConflict(f"Installing the key failed (exit {result.exit_status}): {text}")


async def _wait_until_accepted(ctx: StepContext, snapshot: Snapshot, login: Login) -> bool:
    """A login that no task of the provider is just making works at once or never: more tries might get us banned."""
    can_be_new = Capability.RESET_PASSWORD in snapshot.provider.capabilities
    deadline = ctx.run.clock.monotonic() + (PATIENCE_S if can_be_new else 0)
    while not await _can_log_in(ctx, snapshot, login):
        if ctx.run.clock.monotonic() >= deadline:
            return False
        await ctx.run.clock.sleep(POLL_S)
    return True


async def _can_log_in(ctx: StepContext, snapshot: Snapshot, login: Login) -> bool:
    """Whether this login opens a session in which a command runs."""
    try:
        connection = ctx.parts.access.connect(snapshot.endpoint, host_keys=snapshot.host_keys, login=login)
        async with connection as session:
            return (await session.run("true")).ok
    except LoginRefused:
        return False
