"""What a migration does that the version before it would not survive: its processes run on while the new ones begin."""

import io
import re
from collections.abc import Callable

from alembic.migration import MigrationContext
from alembic.operations import Operations

BREAKS = {
    r"drop table": "drops a table",
    r"\bdrop column": "drops a column",
    r"\brename\b": "renames",
    r"alter column \S+ (set data )?type\b": "changes a type",
    r"alter column \S+ set not null": "requires a value that may be left out today",
    r"alter column \S+ drop default": "takes a default away",
    r"add column (?!.*\bdefault\b).*\bnot null": "adds a column that older inserts do not fill",
    r"add constraint": "refuses rows that were good",
    r"create unique index": "refuses rows that were good",
    r"create (constraint )?trigger": "does something behind older writers",
}
"""By the statement, in lower case and on one line."""
OF_A_TABLE = re.compile(r"(?:alter table|create unique index \S+ on|create .*trigger .* on) (?:only )?\"?(\w+)")


def statements_of(upgrade: Callable[[], None]) -> list[str]:
    """The SQL of a migration, made without a database."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written, "transactional_ddl": False}
    )
    with Operations.context(context):
        upgrade()
    return [" ".join(one.lower().split()) for one in written.getvalue().split(";") if one.strip()]


def breaks(statements: list[str]) -> list[str]:
    """What older processes would not survive; nothing that is done to a table of this very migration. Pure."""
    made = {name for one in statements for name in re.findall(r"create table (\w+)", one)}
    found = []
    for statement in statements:
        table = OF_A_TABLE.search(statement)
        if table is not None and table[1] in made:
            continue
        found += [f"{why}: {statement[:120]}" for what, why in BREAKS.items() if re.search(what, statement)]
    return found
