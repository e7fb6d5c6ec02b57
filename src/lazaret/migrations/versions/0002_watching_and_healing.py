"""Watching and healing."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "monitors",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("vantage", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("servers", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("is_blind", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("because", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitors")),
    )
    op.create_table(
        "maintenance_windows",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("server_handle", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["server_handle"], ["servers.handle"], name=op.f("fk_maintenance_windows_server_handle")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_windows")),
    )
    op.create_table(
        "readings",
        sa.Column("server_handle", sa.Text(), nullable=False),
        sa.Column("slot", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("load_1m", sa.Double(), nullable=False),
        sa.Column("memory_available_mb", sa.BigInteger(), nullable=False),
        sa.Column("disk_used_percent", sa.Double(), nullable=True),
        sa.Column("uptime_s", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["server_handle"], ["servers.handle"], name=op.f("fk_readings_server_handle")),
        sa.PrimaryKeyConstraint("server_handle", "slot", name=op.f("pk_readings")),
    )
    op.create_table(
        "server_health",
        sa.Column("server_handle", sa.Text(), nullable=False),
        sa.Column("vantage", sa.Text(), server_default="main", nullable=False),
        sa.Column("monitor", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("symptoms", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("because", sa.Text(), server_default="", nullable=False),
        sa.Column("is_flapping", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reading", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["server_handle"], ["servers.handle"], name=op.f("fk_server_health_server_handle")),
        sa.PrimaryKeyConstraint("server_handle", "vantage", name=op.f("pk_server_health")),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("server_handle", sa.Text(), nullable=False),
        sa.Column("rung", sa.BigInteger(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_approvals_incident_id")),
        sa.ForeignKeyConstraint(["operation_id"], ["operations.id"], name=op.f("fk_approvals_operation_id")),
        sa.ForeignKeyConstraint(["server_handle"], ["servers.handle"], name=op.f("fk_approvals_server_handle")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(
        "ix_approvals_open", "approvals", ["expires_at"], unique=False, postgresql_where=sa.text("decision is null")
    )
    op.create_index("uq_approvals_rung", "approvals", ["operation_id", "rung"], unique=True)
    op.create_table(
        "evidence",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_evidence_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
    )
    op.create_index("ix_evidence_incident", "evidence", ["incident_id"], unique=False)
    op.create_table(
        "incident_timeline",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_incident_timeline_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_timeline")),
    )
    op.create_index("ix_incident_timeline_incident", "incident_timeline", ["incident_id", "id"], unique=False)
    op.create_table(
        "remedies",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("operation_id", sa.BigInteger(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=False),
        sa.Column("server_handle", sa.Text(), nullable=False),
        sa.Column("rung", sa.BigInteger(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), server_default="", nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="begun", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_remedies_incident_id")),
        sa.ForeignKeyConstraint(["operation_id"], ["operations.id"], name=op.f("fk_remedies_operation_id")),
        sa.ForeignKeyConstraint(["server_handle"], ["servers.handle"], name=op.f("fk_remedies_server_handle")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remedies")),
    )
    op.create_index("ix_remedies_server", "remedies", ["server_handle", "begun_at"], unique=False)
    op.create_index("uq_remedies_rung", "remedies", ["operation_id", "rung"], unique=True)
    op.add_column("incidents", sa.Column("cause", sa.Text(), server_default="", nullable=False))
    op.add_column("incidents", sa.Column("began_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("update incidents set began_at = detected_at")
    op.alter_column("incidents", "began_at", nullable=False)
    op.add_column("incidents", sa.Column("parent_id", sa.BigInteger(), nullable=True))
    op.add_column("incidents", sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("incidents", sa.Column("acknowledged_by", sa.Text(), nullable=True))
    op.alter_column("incidents", "server_handle", existing_type=sa.TEXT(), nullable=True)
    op.drop_index("uq_incidents_open", table_name="incidents")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        [sa.literal_column("coalesce(server_handle, '')"), "incident_type"],
        unique=True,
        postgresql_where=sa.text("status <> 'resolved'"),
    )
    op.create_index("ix_incidents_server", "incidents", ["server_handle", "id"], unique=False)
    op.create_foreign_key(op.f("fk_incidents_parent_id"), "incidents", "incidents", ["parent_id"], ["id"])


def downgrade() -> None:
    op.execute("delete from evidence")
    op.execute("delete from incident_timeline")
    op.execute("update incidents set parent_id = null")
    op.execute("delete from incidents where server_handle is null")  # the first schema has no incident of the fleet
    op.drop_constraint(op.f("fk_incidents_parent_id"), "incidents", type_="foreignkey")
    op.drop_index("ix_incidents_server", table_name="incidents")
    op.drop_index("uq_incidents_open", table_name="incidents")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        ["server_handle", "incident_type"],
        unique=True,
        postgresql_where=sa.text("status <> 'resolved'"),
    )
    op.alter_column("incidents", "server_handle", existing_type=sa.TEXT(), nullable=False)
    op.drop_column("incidents", "acknowledged_by")
    op.drop_column("incidents", "acknowledged_at")
    op.drop_column("incidents", "parent_id")
    op.drop_column("incidents", "began_at")
    op.drop_column("incidents", "cause")
    op.drop_index("uq_remedies_rung", table_name="remedies")
    op.drop_index("ix_remedies_server", table_name="remedies")
    op.drop_table("remedies")
    op.drop_index("ix_incident_timeline_incident", table_name="incident_timeline")
    op.drop_table("incident_timeline")
    op.drop_index("ix_evidence_incident", table_name="evidence")
    op.drop_table("evidence")
    op.drop_index("uq_approvals_rung", table_name="approvals")
    op.drop_index("ix_approvals_open", table_name="approvals", postgresql_where=sa.text("decision is null"))
    op.drop_table("approvals")
    op.drop_table("server_health")
    op.drop_table("readings")
    op.drop_table("maintenance_windows")
    op.drop_table("monitors")
