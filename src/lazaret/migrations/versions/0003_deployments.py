"""Deployments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "service_deployments",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("server_handle", sa.Text(), nullable=False),
        sa.Column("port", sa.BigInteger(), nullable=False),
        sa.Column("deployed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status in ('deploying', 'running', 'stopped', 'failed', 'removed')",
            name=op.f("ck_service_deployments_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["server_handle"], ["servers.handle"], name=op.f("fk_service_deployments_server_handle")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_deployments")),
    )
    op.create_index("ix_service_deployments_project", "service_deployments", ["project_id"], unique=False)
    op.create_index(
        "uq_service_deployments_name",
        "service_deployments",
        ["server_handle", "service_name"],
        unique=True,
        postgresql_where=sa.text("status <> 'removed'"),
    )
    op.create_index(
        "uq_service_deployments_port",
        "service_deployments",
        ["server_handle", "port"],
        unique=True,
        postgresql_where=sa.text("status <> 'removed'"),
    )
    op.create_table(
        "service_releases",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("deployment_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("outcome", sa.Text(), server_default="new", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"], ["service_deployments.id"], name=op.f("fk_service_releases_deployment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_releases")),
        sa.UniqueConstraint("deployment_id", "version", name=op.f("uq_service_releases_deployment_id_version")),
    )


def downgrade() -> None:
    op.drop_table("service_releases")
    op.drop_index(
        "uq_service_deployments_port", table_name="service_deployments", postgresql_where=sa.text("status <> 'removed'")
    )
    op.drop_index(
        "uq_service_deployments_name", table_name="service_deployments", postgresql_where=sa.text("status <> 'removed'")
    )
    op.drop_index("ix_service_deployments_project", table_name="service_deployments")
    op.drop_table("service_deployments")
