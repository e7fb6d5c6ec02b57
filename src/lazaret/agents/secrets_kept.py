"""What agents may not replace: a service whose secrets they cannot give."""

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.store import get_release, present_services
from lazaret.kernel.errors import Conflict


class HasSecrets(Conflict):
    """A version of a service with secrets is not replaced from here: its secrets would be lost."""

    code = "has_secrets"


async def refuse_to_lose_secrets(session: AsyncSession, project: str, name: str, *, handle: str | None = None) -> None:
    """Raise `HasSecrets` when the service has secrets on this server, or anywhere when no server is named."""
    for deployment in await present_services(session, project, name, handle=handle):
        if deployment.version is None:
            continue
        if (await get_release(session, deployment.id, deployment.version)).spec.get("secret_names"):
            raise HasSecrets(
                f"{name} has secrets on {deployment.server_handle}, which are given by a person only.",
                hint=f"Ask a person: lazaret deployments deploy {project} {name} FILE --server HANDLE",
            )
