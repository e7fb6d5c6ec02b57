"""Questions that programs ask: an approval may stand for a wish, before there is any operation or incident."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.alter_column("approvals", "operation_id", nullable=True)
    op.alter_column("approvals", "incident_id", nullable=True)
    op.add_column("approvals", sa.Column("wish", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("approvals", sa.Column("asked_by", sa.Text(), server_default="", nullable=False))
    op.create_check_constraint(
        op.f("ck_approvals_asks_for_something"),
        "approvals",
        "wish is not null or (operation_id is not null and incident_id is not null)",
    )
    op.create_index(
        "uq_approvals_wish",
        "approvals",
        ["server_handle"],
        unique=True,
        postgresql_where=sa.text("decision is null and wish is not null"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_approvals_wish",
        table_name="approvals",
        postgresql_where=sa.text("decision is null and wish is not null"),
    )
    op.drop_constraint(op.f("ck_approvals_asks_for_something"), "approvals", type_="check")
    op.execute("delete from approvals where wish is not null")
    op.drop_column("approvals", "asked_by")
    op.drop_column("approvals", "wish")
    op.alter_column("approvals", "incident_id", nullable=False)
    op.alter_column("approvals", "operation_id", nullable=False)
