"""Reads and changes of people and tokens."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, Unpack

from pydantic import SecretStr
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel import audit
from lazaret.kernel.errors import NotFound, Unauthenticated
from lazaret.kernel.moments import moment_of
from lazaret.users.model import ApiToken, Role, User

SETTINGS = audit.Actor("TELEGRAM_ADMIN_IDS", audit.Channel.SYSTEM)

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
    """A new token and its text, which cannot be read again. Raises `InvalidInput`."""
    expires_at = moment_of(expires_at, "The token's end") if expires_at is not None else None
    token = SecretStr(TOKEN_PREFIX + secrets.token_urlsafe(32))
    row = ApiToken(name=name, role=role.value, token_hash=_hash(token), created_at=at, expires_at=expires_at)
    session.add(row)
    await session.flush()
    audit.record(session, actor, "token.create", f"token:{row.id}", at=at, name=name, role=role.value)
    return row, token


async def caller_of(session: AsyncSession, token: SecretStr, *, at: datetime) -> Caller:
    """Who holds this token, or `Unauthenticated`."""
    row = await session.scalar(select(ApiToken).where(ApiToken.token_hash == _hash(token)))
    if row is None or not _holds(row, at):
        raise Unauthenticated("The token is not valid.", hint="Make one with: lazaret token create NAME --role ROLE")
    if row.last_used_at is None or (at - row.last_used_at).total_seconds() > 60:
        row.last_used_at = at
    return Caller(row.id, row.name, Role(row.role))


async def is_valid(session: AsyncSession, caller: Caller, *, at: datetime) -> bool:
    """Whether the caller's token still holds."""
    return await token_holds(session, caller.token_id, at=at)


async def token_holds(session: AsyncSession, token_id: int, *, at: datetime) -> bool:
    """Whether there is such a token and its holder is let in."""
    row = await session.get(ApiToken, token_id)
    return row is not None and _holds(row, at)


def _holds(token: ApiToken, at: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > at)


async def list_tokens(session: AsyncSession) -> list[ApiToken]:
    """Every token, without its text, oldest first."""
    return list(await session.scalars(select(ApiToken).order_by(ApiToken.id)))


async def valid_tokens(session: AsyncSession, *, at: datetime) -> list[ApiToken]:
    """Those whose holder is let in, oldest first."""
    return [token for token in await list_tokens(session) if _holds(token, at)]


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


class Names(TypedDict, total=False):
    """What a person is called in Telegram; what is left out is not known to the one who tells."""

    username: str | None
    first_name: str | None
    last_name: str | None


async def upsert_user(
    session: AsyncSession,
    *,
    telegram_id: int,
    at: datetime,
    is_admin: bool | None = None,
    actor: audit.Actor = audit.INVENTORY,
    **names: Unpack[Names],
) -> tuple[User, bool]:
    """Create or update by Telegram id. Returns the user and whether they are new.

    Names that are left out stay as they are, and so does `is_admin` when it is None. To be told of is not to be seen:
    `last_seen` of somebody who is known stays.
    """
    new = insert(User).values(telegram_id=telegram_id, created_at=at, last_seen=at)
    made = await session.scalar(new.on_conflict_do_nothing(index_elements=["telegram_id"]).returning(User.id))
    user = await get_user(session, telegram_id, for_update=True)
    for field, name in names.items():
        setattr(user, field, name)
    if is_admin is not None and is_admin != user.is_admin:
        set_role(session, user, Role.ADMIN if is_admin else None, actor, at=at)
    return user, made is not None


async def register_or_update_user(
    session: AsyncSession,
    *,
    telegram_id: int,
    username: str | None,
    first_name: str | None,
    last_name: str | None,
    language_code: str | None,
    first_admins: Collection[int],
    at: datetime,
) -> User:
    """The person behind an update of Telegram, as they are now. They can be reached, for they just wrote.

    Somebody of `first_admins` becomes an administrator, unless a person decided on their role before.
    """
    user, _ = await upsert_user(
        session, telegram_id=telegram_id, username=username, first_name=first_name, last_name=last_name, at=at
    )
    user.last_seen, user.language_code, user.unreachable_since = at, language_code, None
    await name_first_admins(session, {telegram_id} & set(first_admins), at=at)
    return user


async def name_first_admins(session: AsyncSession, telegram_ids: Collection[int], *, at: datetime) -> None:
    """Make these people administrators, known or not, unless a person decided on their role before."""
    for telegram_id in sorted(telegram_ids):
        new = insert(User).values(telegram_id=telegram_id, created_at=at, last_seen=at)
        await session.execute(new.on_conflict_do_nothing(index_elements=["telegram_id"]))
        user = await get_user(session, telegram_id, for_update=True)
        if user.role_set_by is None:
            set_role(session, user, Role.ADMIN, SETTINGS, at=at)


def set_role(session: AsyncSession, user: User, role: Role | None, actor: audit.Actor, *, at: datetime) -> None:
    """What this person may do from now on; None: nothing."""
    before, user.role = user.role, role.value if role else None
    user.is_admin, user.role_set_by = role is Role.ADMIN, str(actor)
    audit.record(session, actor, "user.role", f"user:{user.telegram_id}", at=at, before=before, after=user.role)


async def admins(session: AsyncSession) -> list[User]:
    """The administrators who can be reached, the first one first."""
    rows = await session.scalars(
        select(User).where(User.role == Role.ADMIN.value, User.unreachable_since.is_(None)).order_by(User.id)
    )
    return list(rows)


async def get_user(session: AsyncSession, telegram_id: int, *, for_update: bool = False) -> User:
    """The user with this Telegram id, or `NotFound`."""
    statement = select(User).where(User.telegram_id == telegram_id).execution_options(populate_existing=True)
    if for_update:  # what the session knows of it may be older than the lock
        statement = statement.with_for_update().execution_options(populate_existing=True)
    user = await session.scalar(statement)
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
