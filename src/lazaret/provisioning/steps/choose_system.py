"""Part of two steps: which operating system a reinstall puts on a server; the provider must offer it."""

from lazaret.kernel.errors import Conflict
from lazaret.provisioning.context import Snapshot, StepContext
from lazaret.servers.provider import ServerDetails


class NothingToInstall(Conflict):
    """It is not known which operating system to install, or the provider has no such one."""

    code = "nothing_to_install"


async def choose_os(ctx: StepContext, snapshot: Snapshot, details: ServerDetails) -> str:
    """The intent's, else the configured one, else what the server has. Raises `NothingToInstall`."""
    named = snapshot.params.get("os_template")
    wanted = named or ctx.parts.default_os or details.os_template or snapshot.os_template
    offered = [template.os for template in await snapshot.provider.list_os(details.server_id)]
    if not wanted or wanted not in offered:
        names = ", ".join(offered[:20])
        raise NothingToInstall(
            f"The provider does not offer {wanted or 'an operating system'} for this server.",
            hint=f"Ask again with one of: {names}." if named else f"Set DEFAULT_OS_TEMPLATE to one of: {names}.",
        )
    return str(wanted)
