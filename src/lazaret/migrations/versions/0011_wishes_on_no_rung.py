"""Wishes stand on no rung: their yes is to the recovery, not to what it does first. Changes rows only."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("update approvals set rung = -1 where wish is not null")


def downgrade() -> None:
    op.execute("update approvals set rung = 0 where wish is not null")
