"""How much a process logs for a while. Expands only."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("processes", sa.Column("log_level", sa.Text(), nullable=True))
    op.add_column("processes", sa.Column("log_level_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("processes", "log_level_until")
    op.drop_column("processes", "log_level")
