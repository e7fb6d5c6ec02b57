"""Reads and changes of people and tokens."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.errors import NotFound, Unauthenticated
from lazaret.users.model import ApiToken, Role, User

TOKEN_PREFIX = "lzr_"  # noqa: S105 - makes a leaked token easy to search for


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the API, proved by a token."""

    token_id: int
    name: str
    role: Role


async def create_token(
    session: AsyncSession,
    name: str,
    role: Role,
    actor: audit.Actor,
    *,
    at: datetime,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, SecretStr]:
    """A new token and its text, which cannot be read again."""
    token = SecretStr(TOKEN_PREFIX + secrets.token_urlsafe(32))
    row = ApiToken(name=name, role=role.value, token_hash=_hash(token), created_at=at, expires_at=expires_at)
    session.add(row)
    await session.flush()
    audit.record(session, actor, "token.create", f"token:{row.id}", at=at, name=name, role=role.value)
    return row, token


async def caller_of(session: AsyncSession, token: SecretStr, *, at: datetime) -> Caller:
    """Who holds this token, or `Unauthenticated`."""
    row = await session.scalar(select(ApiToken).where(ApiToken.token_hash == _hash(token)))
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= at):
        raise Unauthenticated("The token is not valid.", hint="Make one with: lazaret token create NAME --role ROLE")
    if row.last_used_at is None or (at - row.last_used_at).total_seconds() > 60:
        row.last_used_at = at
    return Caller(row.id, row.name, Role(row.role))


async def list_tokens(session: AsyncSession) -> list[ApiToken]:
    """Every token, without its text, oldest first."""
    return list(await session.scalars(select(ApiToken).order_by(ApiToken.id)))


async def revoke_token(session: AsyncSession, token_id: int, actor: audit.Actor, *, at: datetime) -> None:
    """From now on the token is refused. Raises `NotFound`."""
    found = await session.scalar(
        update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=at)
        .returning(ApiToken.id)
    )
    if found is None:
        raise NotFound(f"There is no valid token {token_id}.", hint="`lazaret token list` lists them.")
    audit.record(session, actor, "token.revoke", f"token:{token_id}", at=at)


async def has_tokens(session: AsyncSession) -> bool:
    """Whether any token was ever made."""
    return bool(await session.scalar(select(func.count()).select_from(ApiToken)))


async def upsert_user(
    session: AsyncSession,
    *,
    telegram_id: int,
    username: str | None,
    first_name: str | None,
    last_name: str | None,
    at: datetime,
    is_admin: bool | None = None,
) -> tuple[User, bool]:
    """Create or update by Telegram id; `is_admin` None leaves it. Returns the user and whether they are new."""
    values: dict[str, Any] = {"username": username, "first_name": first_name, "last_name": last_name, "last_seen": at}
    if is_admin is not None:
        values["is_admin"] = is_admin
    existed = await session.scalar(select(User.id).where(User.telegram_id == telegram_id))
    statement = insert(User).values(telegram_id=telegram_id, created_at=at, **values)
    await session.execute(statement.on_conflict_do_update(index_elements=["telegram_id"], set_=values))
    user = await session.scalar(
        select(User).where(User.telegram_id == telegram_id).execution_options(populate_existing=True)
    )
    assert user is not None
    return user, existed is None


async def get_user(session: AsyncSession, telegram_id: int) -> User:
    """The user with this Telegram id, or `NotFound`."""
    user = await session.scalar(select(User).where(User.telegram_id == telegram_id))
    if user is None:
        raise NotFound(f"There is no user with the Telegram id {telegram_id}.")
    return user


async def list_users(session: AsyncSession, *, limit: int = 100, offset: int = 0) -> tuple[list[User], int]:
    """One page, oldest first, and the number of all."""
    total = await session.scalar(select(func.count()).select_from(User))
    rows = await session.scalars(select(User).order_by(User.id).limit(limit).offset(offset))
    return list(rows), total or 0


def _hash(token: SecretStr) -> str:
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()
