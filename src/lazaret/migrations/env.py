"""Alembic's entry: one connection, one transaction for each migration."""

from alembic import context
from sqlalchemy import create_engine, pool

from lazaret.migrations.tables import metadata


def is_ours(name: str | None, kind: str, _: object) -> bool:
    """The queue and the checkpoints have tables of their own in the same database, which their libraries keep."""
    return kind != "table" or name in metadata.tables


engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True, include_name=is_ours
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
