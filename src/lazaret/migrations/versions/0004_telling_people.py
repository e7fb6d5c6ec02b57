"""Telling people: who was told what, and the roles of people."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.BigInteger(), nullable=True),
        sa.Column("outbox_id", sa.BigInteger(), nullable=True),
        sa.Column("round", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("chat_id", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("shown", sa.Text(), server_default="", nullable=False),
        sa.Column("seen_timeline_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest_id", sa.BigInteger(), nullable=True),
        sa.Column("snoozed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("because", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["digest_id"], ["deliveries.id"], name=op.f("fk_deliveries_digest_id")),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_deliveries_incident_id")),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_deliveries_outbox_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_deliveries_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_digest", "deliveries", ["digest_id"], unique=False)
    op.create_index("ix_deliveries_incident", "deliveries", ["incident_id"], unique=False)
    op.create_index(
        "ix_deliveries_owed", "deliveries", ["user_id", "id"], unique=False, postgresql_where=sa.text("state = 'owed'")
    )
    op.create_index("ix_deliveries_sent", "deliveries", ["user_id", "sent_at"], unique=False)
    op.create_index(
        "uq_deliveries_incident",
        "deliveries",
        ["user_id", "incident_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'incident'"),
    )
    op.create_index("uq_deliveries_outbox", "deliveries", ["user_id", "outbox_id", "kind", "round"], unique=True)
    op.add_column("outbox", sa.Column("incident_id", sa.BigInteger(), nullable=True))
    op.execute("update outbox set incident_id = (data ->> 'incident_id')::bigint where data ? 'incident_id'")
    op.create_index("ix_outbox_owed", "outbox", ["id"], unique=False, postgresql_where=sa.text("sent_at is null"))
    op.create_foreign_key(op.f("fk_outbox_incident_id"), "outbox", "incidents", ["incident_id"], ["id"])
    op.add_column("users", sa.Column("role", sa.Text(), nullable=True))
    op.execute("update users set role = 'admin' where is_admin")
    op.create_check_constraint(op.f("ck_users_role_known"), "users", "role in ('viewer', 'operator', 'admin')")
    op.add_column("users", sa.Column("role_set_by", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("language_code", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("language", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("chat_id", sa.BigInteger(), nullable=True))
    op.add_column("users", sa.Column("muted_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("unreachable_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "unreachable_since")
    op.drop_column("users", "muted_until")
    op.drop_column("users", "chat_id")
    op.drop_column("users", "language")
    op.drop_column("users", "language_code")
    op.drop_column("users", "role_set_by")
    op.drop_constraint(op.f("ck_users_role_known"), "users", type_="check")
    op.drop_column("users", "role")
    op.drop_constraint(op.f("fk_outbox_incident_id"), "outbox", type_="foreignkey")
    op.drop_index("ix_outbox_owed", table_name="outbox", postgresql_where=sa.text("sent_at is null"))
    op.drop_column("outbox", "incident_id")
    op.drop_index("uq_deliveries_outbox", table_name="deliveries")
    op.drop_index("uq_deliveries_incident", table_name="deliveries", postgresql_where=sa.text("kind = 'incident'"))
    op.drop_index("ix_deliveries_sent", table_name="deliveries")
    op.drop_index("ix_deliveries_owed", table_name="deliveries", postgresql_where=sa.text("state = 'owed'"))
    op.drop_index("ix_deliveries_incident", table_name="deliveries")
    op.drop_index("ix_deliveries_digest", table_name="deliveries")
    op.drop_table("deliveries")
