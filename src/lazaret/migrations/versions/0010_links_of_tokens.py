"""Which token acted when a link was made, so that both end together. Expands only."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    token = sa.ForeignKey("api_tokens.id", name=op.f("fk_login_links_token_id"))
    op.add_column("login_links", sa.Column("token_id", sa.BigInteger(), token, nullable=True), inline_references=True)


def downgrade() -> None:
    op.drop_column("login_links", "token_id")
