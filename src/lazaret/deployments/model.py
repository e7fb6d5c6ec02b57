"""The tables of deployments: what runs where, and every version of it. Rows only; secrets are kept elsewhere."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class DeploymentStatus(StrEnum):
    """How a service on a server stands."""

    DEPLOYING = "deploying"
    """Asked for; no version of it has run yet."""
    RUNNING = "running"
    """A version of it was proved to run."""
    STOPPED = "stopped"
    """Somebody stopped it; its data stay."""
    FAILED = "failed"
    """No version of it ever ran, or none could be brought back."""
    REMOVED = "removed"
    """Gone from the server; kept for the record."""


class ServiceDeployment(Base):
    """One service on one server. Its name is taken there, and its port, until it is removed."""

    __tablename__ = "service_deployments"
    __table_args__ = (
        CheckConstraint(f"status in ({', '.join(repr(s.value) for s in DeploymentStatus)})", name="status_known"),
        Index(
            "uq_service_deployments_name",
            "server_handle",
            "service_name",
            unique=True,
            postgresql_where=text("status <> 'removed'"),
        ),
        Index(
            "uq_service_deployments_port",
            "server_handle",
            "port",
            unique=True,
            postgresql_where=text("status <> 'removed'"),
        ),
        Index("ix_service_deployments_project", "project_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[str]
    service_name: Mapped[str]
    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"))
    port: Mapped[int]
    """The port of the host on which it answers."""
    deployed_at: Mapped[datetime | None]
    """When the version that runs was proved."""
    status: Mapped[str]
    version: Mapped[int | None]
    """The newest good version; None until one was proved."""
    error: Mapped[str] = mapped_column(server_default="")
    """Why the newest version is not the good one."""
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ReleaseOutcome(StrEnum):
    """What became of one version."""

    NEW = "new"
    """Not tried yet."""
    GOOD = "good"
    """It ran and its health check passed."""
    BAD = "bad"
    """It did not start or did not pass; the version before it was brought back."""


class ServiceRelease(Base):
    """One version of a service: all that is needed to deploy it again, without its secrets' values."""

    __tablename__ = "service_releases"
    __table_args__ = (UniqueConstraint("deployment_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("service_deployments.id"))
    version: Mapped[int]
    spec: Mapped[dict[str, Any]]
    """A `ServiceSpec` without the values of its secrets."""
    outcome: Mapped[str] = mapped_column(server_default=ReleaseOutcome.NEW.value)
    detail: Mapped[str] = mapped_column(server_default="")
    created_by: Mapped[str]
    created_at: Mapped[datetime]
