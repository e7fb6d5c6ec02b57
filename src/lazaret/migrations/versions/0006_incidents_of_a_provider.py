"""Incidents of the fleet per provider: a storm at one is none at another."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("incidents", sa.Column("provider", sa.Text(), server_default="", nullable=False))
    op.execute(
        "update incidents set provider = coalesce(details ->> 'provider', '') where incident_type = 'many_servers_lost'"
    )
    _unique("provider")


def downgrade() -> None:
    op.execute(
        "update incidents set status = 'resolved', resolved_at = now() where provider <> '' and status <> 'resolved'"
    )
    _unique()
    op.drop_column("incidents", "provider")


def _unique(*more: str) -> None:
    """At most one open incident of a subject and type."""
    op.drop_index("uq_incidents_open", table_name="incidents")
    op.create_index(
        "uq_incidents_open",
        "incidents",
        [sa.literal_column("coalesce(server_handle, '')"), "incident_type", *more],
        unique=True,
        postgresql_where=sa.text("status <> 'resolved'"),
    )
