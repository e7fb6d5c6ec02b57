"""Services whose first deployment ended without a word about them: cancelled, or failed for good on the way."""

from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.model import DeploymentStatus, ServiceDeployment
from lazaret.kernel.i18n import mark
from lazaret.operations.model import LIVE, Operation, OperationKind

NEVER_RAN = mark("Its deployment ended before any version ran. Deploy it again, or remove it.")


async def fail_abandoned(session: AsyncSession, *, at: datetime) -> int:
    """Say `failed` of every service that still is `deploying` although nobody is at work on its server."""
    at_work = exists().where(
        Operation.server_handle == ServiceDeployment.server_handle,
        Operation.kind == OperationKind.DEPLOY.value,
        Operation.status.in_([status.value for status in LIVE]),
    )
    rows = await session.scalars(
        select(ServiceDeployment)
        .where(ServiceDeployment.status == DeploymentStatus.DEPLOYING.value, ~at_work)
        .with_for_update(skip_locked=True)
    )
    abandoned = list(rows)
    for row in abandoned:
        row.status, row.error, row.updated_at = DeploymentStatus.FAILED.value, NEVER_RAN, at
    return len(abandoned)
