"""What agents may not replace: a service whose secrets they cannot give."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.store import PRESENT, get_release
from lazaret.kernel.errors import Conflict


class HasSecrets(Conflict):
    """A version of a service with secrets is not replaced from here: its secrets would be lost."""

    code = "has_secrets"


async def refuse_to_lose_secrets(session: AsyncSession, project: str, name: str, *, handle: str | None = None) -> None:
    """Raise `HasSecrets` when the service has secrets on this server, or anywhere when no server is named."""
    statement = select(ServiceDeployment).where(
        ServiceDeployment.project_id == project,
        ServiceDeployment.service_name == name,
        ServiceDeployment.status.in_(PRESENT),
    )
    if handle is not None:
        statement = statement.where(ServiceDeployment.server_handle == handle)
    for deployment in await session.scalars(statement.order_by(ServiceDeployment.id)):
        if deployment.version is None:
            continue
        if (await get_release(session, deployment.id, deployment.version)).spec.get("secret_names"):
            raise HasSecrets(
                f"{name} has secrets on {deployment.server_handle}, which are given by a person only.",
                hint=f"Ask a person: lazaret deployments deploy {project} {name} FILE --server HANDLE",
            )
