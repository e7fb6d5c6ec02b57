"""Expand, then contract: no migration takes away what the version before it still uses (docs/decisions/0044)."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import op
from alembic.script import Script, ScriptDirectory

from lazaret import migrations
from tests.expand import breaks, statements_of

FIRST_HELD = 9
"""Revisions below it were made before anybody could have installed anything."""
SCRIPTS = sorted(
    ScriptDirectory.from_config(migrations.alembic_config("postgresql://nowhere/none")).walk_revisions(),
    key=lambda script: script.revision,
)
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def released() -> set[str]:
    return set(re.findall(r"^## v?(\d+\.\d+\.\d+)", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE))


def number(script: Script) -> int:
    return int(script.revision)


def test_a_file_is_named_by_its_revision_and_the_revisions_are_one_row() -> None:
    assert [script.revision for script in SCRIPTS] == list(migrations.REVISIONS)
    assert [script.down_revision for script in SCRIPTS] == [None, *migrations.REVISIONS[:-1]]


@pytest.mark.parametrize("script", [one for one in SCRIPTS if number(one) >= FIRST_HELD], ids=lambda one: one.revision)
def test_a_migration_breaks_nothing_unless_it_says_of_which_version(script: Script) -> None:
    found = breaks(statements_of(script.module.upgrade))
    contract_of = getattr(script.module, "contract_of", None)
    if contract_of is None:
        assert not found, "expand only, or name the last version that used it as `contract_of`: see decision 0044"
    else:
        assert contract_of in released(), (
            f"contract_of names {contract_of}, which CHANGELOG.md does not know as released"
        )
        assert found, "it breaks nothing: leave contract_of out"


def test_revisions_are_numbered_and_follow_each_other() -> None:
    assert [one.revision for one in SCRIPTS] == [f"{n:04d}" for n in range(1, len(SCRIPTS) + 1)]
    assert [one.down_revision for one in SCRIPTS[1:]] == [one.revision for one in SCRIPTS[:-1]]


TEXT = sa.Text()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: op.drop_table("users"), "drops a table"),
        (lambda: op.drop_column("users", "username"), "drops a column"),
        (lambda: op.alter_column("users", "username", new_column_name="name"), "renames"),
        (lambda: op.rename_table("users", "people"), "renames"),
        (lambda: op.alter_column("users", "username", type_=sa.BigInteger()), "changes a type"),
        (lambda: op.alter_column("users", "username", nullable=False), "may be left out today"),
        (lambda: op.alter_column("users", "language", server_default=None), "takes a default away"),
        (lambda: op.add_column("users", sa.Column("shoe", TEXT, nullable=False)), "older inserts do not fill"),
        (lambda: op.create_check_constraint("tall", "users", "id > 1"), "rows that were good"),
        (lambda: op.create_unique_constraint("one", "users", ["username"]), "rows that were good"),
        (lambda: op.create_index("one", "users", ["username"], unique=True), "rows that were good"),
        (lambda: op.execute("ALTER TABLE users\n  DROP COLUMN username"), "drops a column"),
    ],
)
def test_what_breaks_is_found(change: Callable[[], None], why: str) -> None:
    found = breaks(statements_of(change))
    assert len(found) == 1 and why in found[0], found


def test_what_expands_is_let_through() -> None:
    def expands() -> None:
        op.create_table("shoes", sa.Column("id", sa.BigInteger(), nullable=False), sa.PrimaryKeyConstraint("id"))
        op.create_index("uq_shoes", "shoes", ["id"], unique=True)
        op.create_check_constraint("small", "shoes", "id < 50")
        op.add_column("users", sa.Column("shoe", TEXT, nullable=True))
        op.add_column("users", sa.Column("hat", TEXT, server_default="none", nullable=False))
        op.create_index("ix_users_hat", "users", ["hat"])
        op.alter_column("users", "username", nullable=True)
        op.execute("update users set shoe = 'left'")

    assert breaks(statements_of(expands)) == []


def test_older_ones_would_not_all_have_passed() -> None:
    """The rule is about something: 0008 refuses approvals that were good before it."""
    assert breaks(statements_of(SCRIPTS[7].module.upgrade))
