"""The database: one engine, short transactions, the declarative base of all tables.

PostgreSQL is the only store. No transaction may stay open across a call to another machine.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import sqlalchemy.exc
from psycopg_pool import PoolTimeout
from sqlalchemy import BigInteger, ColumnElement, DateTime, Dialect, MetaData, Text, TypeDecorator, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute

from lazaret.kernel.errors import Misconfigured, Unavailable
from lazaret.kernel.i18n import mark

WRITE_IT = "Write postgresql://user:password@host:5432/name."


class Moment(TypeDecorator[datetime]):
    """A date in UTC. One whose UTC has no year of four digits is refused: PostgreSQL keeps it, and nobody reads it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None


class Base(DeclarativeBase):
    """Base of every table; dates are timestamptz, free-form values jsonb, strings text."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own protocol
        datetime: Moment(),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        str: Text,
        int: BigInteger,
    }


def any_contains(
    search: str, *columns: InstrumentedAttribute[str] | InstrumentedAttribute[str | None]
) -> ColumnElement[bool]:
    """Whether one of the text columns contains `search`, letter case aside, `%` and `_` taken as they stand.

    The columns are put in one text first: each row is folded once, which takes half the time of one look per column.
    """
    return func.concat_ws("\n", *columns).icontains(search, autoescape=True)


class Database:
    """A PostgreSQL database that may be used from one event loop.

    `conninfo` is a libpq address (`postgresql://...`); it may hold a password and must not be logged.
    Raises as `checked_address` does.
    """

    def __init__(self, conninfo: str, *, pool_size: int = 10) -> None:
        self.conninfo = checked_address(conninfo)
        url = make_url(self.conninfo).set(drivername="postgresql+psycopg")
        self._engine = create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self._sessions.begin() as session:
            yield session

    async def close(self) -> None:
        """Return every connection."""
        await self._engine.dispose()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def checked_address(text: str) -> str:
    """A database's address in the one spelling that libpq and SQLAlchemy read alike.

    Raises `Misconfigured`. It shows nothing of the text: what cannot be read may have its password anywhere.
    """
    url = _parsed(text)
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise Misconfigured("DATABASE_URL does not name a PostgreSQL database.", hint=WRITE_IT)
    if "@" in (url.host or ""):
        raise _two_ends()
    if url.port is not None and not 0 < url.port < 65536:
        raise Misconfigured("The port in DATABASE_URL is not between 1 and 65535.", hint=WRITE_IT)
    place, mark, options = url.set(drivername="postgresql").render_as_string(hide_password=False).partition("?")
    address = f"{place}{mark}{options.replace('+', '%20')}".replace(" ", "%20")  # a plus means it to SQLAlchemy alone
    try:
        psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error:
        raise Misconfigured(
            "DATABASE_URL has an option behind its ? that PostgreSQL does not know.",
            hint="Those that there are: https://www.postgresql.org/docs/current/libpq-connect.html",
        ) from None
    return address


def _parsed(text: str) -> URL:
    if "://" not in text:
        raise Misconfigured("DATABASE_URL does not begin with postgresql://.", hint=WRITE_IT)
    try:
        return make_url(text)
    except ValueError:
        if text.count("@") > 1:
            raise _two_ends() from None
        raise Misconfigured("The host or the port in DATABASE_URL cannot be read.", hint=WRITE_IT) from None
    except Exception:  # noqa: BLE001 - the parser's message would show the password
        raise Misconfigured("DATABASE_URL is not a database address.", hint=WRITE_IT) from None


def _two_ends() -> Misconfigured:
    return Misconfigured(
        "DATABASE_URL has more than one @, so where its password ends cannot be told.",
        hint="Write an @ in the user's name or password as %40.",
    )


_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    PoolTimeout,
)


def is_away(error: BaseException) -> bool:
    """Whether an error, or all of a group or the cause of one, says that the database does not answer just now."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_away(one) for one in error.exceptions)
    if isinstance(error, _AWAY) or getattr(error, "connection_invalidated", False):
        return True
    return error.__cause__ is not None and is_away(error.__cause__)


def without_statement(error: BaseException) -> BaseException:
    """What the driver said: SQLAlchemy's own error carries the statement as well, which says nothing to a person."""
    return getattr(error, "orig", None) or error


def away() -> Unavailable:
    """What an edge tells of an error that `is_away`."""
    return Unavailable(mark("The database does not answer."), hint=mark("Try again in a moment."))


async def driver_connection(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection below `session`, for a library that must write in the same transaction."""
    connection = await session.connection()
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver
