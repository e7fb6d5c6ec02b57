"""Reads and writes of deployments and their versions; the values of secrets go through the secret store."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.model import DeploymentStatus, ReleaseOutcome, ServiceDeployment, ServiceRelease
from lazaret.deployments.spec import ServiceSpec, spec_from
from lazaret.kernel.errors import NotFound
from lazaret.kernel.secrets import SecretStore

PRESENT = tuple(status.value for status in DeploymentStatus if status is not DeploymentStatus.REMOVED)


async def get_deployment(session: AsyncSession, deployment_id: int, *, for_update: bool = False) -> ServiceDeployment:
    """The deployment, or `NotFound`."""
    statement = select(ServiceDeployment).where(ServiceDeployment.id == deployment_id)
    if for_update:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = await session.scalar(statement)
    if found is None:
        raise NotFound(f"There is no deployment {deployment_id}.", hint="`lazaret deployments` lists them.")
    return found


async def list_deployments(
    session: AsyncSession,
    *,
    handle: str = "",
    project: str = "",
    statuses: Sequence[DeploymentStatus] = (),
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[ServiceDeployment], int]:
    """One page, newest first, and the number of all that match. Removed ones only where asked for."""
    conditions: list[ColumnElement[bool]] = [
        ServiceDeployment.status.in_([status.value for status in statuses] or PRESENT)
    ]
    if handle:
        conditions.append(ServiceDeployment.server_handle == handle)
    if project:
        conditions.append(ServiceDeployment.project_id == project)
    total = await session.scalar(select(func.count()).select_from(ServiceDeployment).where(*conditions))
    rows = await session.scalars(
        select(ServiceDeployment).where(*conditions).order_by(ServiceDeployment.id.desc()).limit(limit).offset(offset)
    )
    return list(rows), total or 0


async def present_service(
    session: AsyncSession, project: str, name: str, *, handle: str | None = None, for_update: bool = False
) -> ServiceDeployment | None:
    """The service of a project where it is, or is about to be; on this server, where one is named."""
    statement = _present(project, name, handle)
    if for_update:
        statement = statement.with_for_update()
    found: ServiceDeployment | None = await session.scalar(statement.limit(1))
    return found


async def present_services(
    session: AsyncSession, project: str, name: str, *, handle: str | None = None
) -> list[ServiceDeployment]:
    """The same wherever it is, oldest first."""
    return list(await session.scalars(_present(project, name, handle).order_by(ServiceDeployment.id)))


def _present(project: str, name: str, handle: str | None) -> Select[ServiceDeployment]:
    statement = select(ServiceDeployment).where(
        ServiceDeployment.project_id == project,
        ServiceDeployment.service_name == name,
        ServiceDeployment.status.in_(PRESENT),
    )
    return statement if handle is None else statement.where(ServiceDeployment.server_handle == handle)


async def running_on(session: AsyncSession, handle: str) -> list[ServiceDeployment]:
    """What should run on a server."""
    rows = await session.scalars(
        select(ServiceDeployment)
        .where(
            ServiceDeployment.server_handle == handle,
            ServiceDeployment.status == DeploymentStatus.RUNNING.value,
        )
        .order_by(ServiceDeployment.id)
    )
    return list(rows)


async def has_running(session: AsyncSession, handle: str) -> bool:
    """Whether services run on the server, which makes it `in_use`."""
    return bool(await running_on(session, handle))


async def add_release(
    session: AsyncSession,
    secrets: SecretStore,
    deployment: ServiceDeployment,
    spec: ServiceSpec,
    *,
    by: str,
    at: datetime,
) -> ServiceRelease:
    """The next version of a service, with its secrets encrypted."""
    newest = await session.scalar(
        select(func.max(ServiceRelease.version)).where(ServiceRelease.deployment_id == deployment.id)
    )
    release = ServiceRelease(
        deployment_id=deployment.id,
        version=(newest or 0) + 1,
        spec=spec.without_secrets(),
        outcome=ReleaseOutcome.NEW.value,
        created_by=by,
        created_at=at,
    )
    session.add(release)
    await session.flush()
    if spec.secrets:
        values = {name: value.get_secret_value() for name, value in spec.secrets.items()}
        sealed = SecretStr(json.dumps(values))
        await secrets.put(session, _owner(deployment.id), _kind(release.version), sealed, at=at)
    return release


async def get_release(session: AsyncSession, deployment_id: int, version: int) -> ServiceRelease:
    """One version of a service, or `NotFound`."""
    found = await session.scalar(
        select(ServiceRelease).where(ServiceRelease.deployment_id == deployment_id, ServiceRelease.version == version)
    )
    if found is None:
        raise NotFound(f"Deployment {deployment_id} has no version {version}.", hint="Its versions are with it.")
    return found


async def releases_of(session: AsyncSession, deployment_id: int) -> list[ServiceRelease]:
    """Every version, oldest first."""
    rows = await session.scalars(
        select(ServiceRelease).where(ServiceRelease.deployment_id == deployment_id).order_by(ServiceRelease.version)
    )
    return list(rows)


async def spec_of(session: AsyncSession, secrets: SecretStore, deployment_id: int, version: int) -> ServiceSpec:
    """A version with the values of its secrets."""
    release = await get_release(session, deployment_id, version)
    sealed = await secrets.get(session, _owner(deployment_id), _kind(version))
    values: dict[str, str] = json.loads(sealed.get_secret_value()) if sealed else {}
    return spec_from(release.spec, values)


async def specs_running(
    session: AsyncSession, handles: Sequence[str]
) -> list[tuple[ServiceDeployment, dict[str, Any]]]:
    """What should run on these servers, with each stored spec of the good version."""
    rows = await session.execute(
        select(ServiceDeployment, ServiceRelease.spec)
        .join(
            ServiceRelease,
            (ServiceRelease.deployment_id == ServiceDeployment.id)
            & (ServiceRelease.version == ServiceDeployment.version),
        )
        .where(ServiceDeployment.status == DeploymentStatus.RUNNING.value, ServiceDeployment.server_handle.in_(handles))
        .order_by(ServiceDeployment.id)
    )
    return [(deployment, spec) for deployment, spec in rows]


def _owner(deployment_id: int) -> str:
    return f"deployment:{deployment_id}"


def _kind(version: int) -> str:
    return f"secrets:{version}"
