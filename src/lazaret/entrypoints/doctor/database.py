"""The database: whether it answers, is one that we can use, and has the schema of this version."""

import psycopg

from lazaret import __version__, migrations
from lazaret.entrypoints.doctor.finding import START, Finding, Patient, State
from lazaret.entrypoints.no_answer import MAKE_ONE, no_answer
from lazaret.entrypoints.office import database_address
from lazaret.kernel.database import Database
from lazaret.kernel.embedded_postgres import embedded_place, is_there
from lazaret.migrations import Standing

PATIENCE_S = 5
OLDEST = 14
"""The oldest PostgreSQL that has all that we use."""


async def check_database(name: str, patient: Patient) -> Finding:
    """Reachable, new enough, and able to hold every character."""
    settings = patient.settings
    kind = "DATABASE_URL" if settings.database_url else "embedded"
    if settings.database_url is None and not is_there(embedded_place(settings)):
        patient.is_new = True
        return Finding(name, State.MISSING, f"{kind}: none yet", START)
    db = Database(await database_address(settings, patient.closing), pool_size=1)
    try:
        connection = await psycopg.AsyncConnection.connect(db.conninfo, autocommit=True, connect_timeout=PATIENCE_S)
    except psycopg.OperationalError as error:
        reason = no_answer(db.conninfo, error)
        return Finding(name, State.BROKEN, reason.what, reason.cure)
    async with connection:
        version = connection.info.server_version // 10000
        encoding = connection.info.parameter_status("server_encoding")
    if version < OLDEST:
        return Finding(name, State.BROKEN, f"{kind}: PostgreSQL {version}", f"Upgrade the server to {OLDEST} or newer.")
    if encoding != "UTF8":
        return Finding(
            name,
            State.BROKEN,
            f"{kind}: the database's encoding is {encoding}, which cannot hold every text",
            f"Use one with the encoding UTF8: {MAKE_ONE}; then set DATABASE_URL to it (pg_dump and psql move data).",
        )
    patient.closing.push_async_callback(db.close)
    patient.conninfo, patient.opened = db.conninfo, db
    return Finding(name, State.OK, f"{kind}: PostgreSQL {version}, {encoding}")


async def check_schema(name: str, patient: Patient) -> Finding:
    """The tables are those of this version."""
    standing = Standing.EMPTY
    if not patient.is_new:
        assert patient.db
        standing = await migrations.standing(patient.conninfo)
    match standing:
        case Standing.EMPTY:
            patient.is_new = True
            return Finding(name, State.MISSING, "no tables yet", "Start Lazaret: `lazaret up` makes them.")
        case Standing.OLDER:
            cure = "Start this version once (`lazaret up`, or restart the services): it brings them up to date."
            return Finding(name, State.BROKEN, "the tables are of an older version", cure)
        case Standing.NEWER:
            cure = "Install that newer version here too, or restore the backup from before the upgrade."
            return Finding(name, State.BROKEN, f"the tables are of a version newer than {__version__}", cure)
    return Finding(name, State.OK, "the tables are those of this version")
