"""Signing in to the dashboard: one-time links, sessions, and how often somebody may try.

Only hashes are stored: who reads the tables cannot sign in. What a session may do is asked anew with every request,
from the token or the person that it stands for.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy import ForeignKey, Index, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel import audit
from lazaret.kernel.database import Base
from lazaret.kernel.errors import Limited, Unauthenticated
from lazaret.users.model import ApiToken, Role, User
from lazaret.users.store import caller_of

LINK_LIFETIME = timedelta(minutes=10)
IDLE = timedelta(hours=12)
"""A session that is not used for so long is over."""
LONGEST = timedelta(days=14)
"""Every session is over after this."""
SEEN_EVERY = timedelta(minutes=1)
TRIES, TRIES_WITHIN = 10, timedelta(minutes=5)
"""So often one address may try to sign in."""


class LoginLink(Base):
    """A one-time link: who opens it and confirms is `name`, with `role` or what the person's role is by then."""

    __tablename__ = "login_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class WebSession(Base):
    """Somebody who is signed in."""

    __tablename__ = "web_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)
    csrf: Mapped[str]
    """What every form of this session carries; worth nothing without the session's own secret."""
    name: Mapped[str]
    role: Mapped[str]
    token_id: Mapped[int | None] = mapped_column(ForeignKey("api_tokens.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    language: Mapped[str | None]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class SignInTry(Base):
    """One attempt to sign in."""

    __tablename__ = "sign_in_tries"
    __table_args__ = (Index("ix_sign_in_tries_address", "address", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str]
    at: Mapped[datetime]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who uses the dashboard."""

    session_id: int
    name: str
    role: Role
    csrf: str
    language: str | None


async def create_login_link(
    session: AsyncSession, name: str, role: Role, actor: audit.Actor, *, at: datetime, user_id: int | None = None
) -> SecretStr:
    """The secret of a link that signs in once, within ten minutes."""
    secret = secrets.token_urlsafe(32)
    session.add(
        LoginLink(
            secret_hash=_hash(secret),
            name=name,
            role=role.value,
            user_id=user_id,
            created_at=at,
            expires_at=at + LINK_LIFETIME,
        )
    )
    audit.record(session, actor, "login_link.create", f"user:{name}", at=at, role=role.value)
    return SecretStr(secret)


async def sign_in_by_link(session: AsyncSession, secret: SecretStr, *, at: datetime) -> SecretStr:
    """A session's secret for a link's. Raises `Unauthenticated`."""
    link = await session.scalar(
        select(LoginLink).where(LoginLink.secret_hash == _hash(secret.get_secret_value())).with_for_update()
    )
    if link is None or link.used_at is not None or link.expires_at <= at:
        raise Unauthenticated(
            "This link is used up or has expired.", hint="Make another: lazaret token login, or /login in Telegram."
        )
    link.used_at = at
    return await _begin(session, link.name, Role(link.role), at=at, user_id=link.user_id)


async def sign_in_by_token(session: AsyncSession, token: SecretStr, *, at: datetime) -> SecretStr:
    """A session's secret for an API token's. Raises `Unauthenticated`."""
    caller = await caller_of(session, token, at=at)
    return await _begin(session, caller.name, caller.role, at=at, token_id=caller.token_id)


async def _begin(
    session: AsyncSession,
    name: str,
    role: Role,
    *,
    at: datetime,
    token_id: int | None = None,
    user_id: int | None = None,
) -> SecretStr:
    secret = secrets.token_urlsafe(32)
    session.add(
        WebSession(
            secret_hash=_hash(secret),
            csrf=secrets.token_urlsafe(24),
            name=name,
            role=role.value,
            token_id=token_id,
            user_id=user_id,
            created_at=at,
            seen_at=at,
        )
    )
    audit.record(session, audit.Actor(name, audit.Channel.DASHBOARD), "session.begin", f"user:{name}", at=at)
    return SecretStr(secret)


async def signed_in(session: AsyncSession, secret: SecretStr, *, at: datetime) -> SignedIn:
    """Who this session is, and what they may do now. Raises `Unauthenticated`."""
    row = await session.scalar(select(WebSession).where(WebSession.secret_hash == _hash(secret.get_secret_value())))
    role = await _role_now(session, row, at) if row is not None else None
    if row is None or role is None or row.ended_at is not None or _is_old(row, at):
        raise Unauthenticated("You are not signed in any more.", hint="Sign in again.")
    if at - row.seen_at > SEEN_EVERY:
        row.seen_at = at
    return SignedIn(row.id, row.name, role, row.csrf, row.language)


async def _role_now(session: AsyncSession, row: WebSession, at: datetime) -> Role | None:
    if row.token_id is not None:
        token = await session.get(ApiToken, row.token_id)
        is_valid = (
            token is not None and token.revoked_at is None and (token.expires_at is None or token.expires_at > at)
        )
        return Role(row.role) if is_valid else None
    if row.user_id is not None:
        person = await session.get(User, row.user_id)
        return Role(person.role) if person is not None and person.role else None
    return Role(row.role)


def _is_old(row: WebSession, at: datetime) -> bool:
    return at - row.seen_at > IDLE or at - row.created_at > LONGEST


async def end_session(session: AsyncSession, session_id: int, *, at: datetime) -> None:
    """Sign out."""
    row = await session.get_one(WebSession, session_id)
    row.ended_at = at
    audit.record(session, audit.Actor(row.name, audit.Channel.DASHBOARD), "session.end", f"user:{row.name}", at=at)


async def set_language(session: AsyncSession, session_id: int, language: str) -> None:
    """In which language this session reads."""
    (await session.get_one(WebSession, session_id)).language = language


async def count_try(session: AsyncSession, address: str, *, at: datetime) -> None:
    """Note an attempt to sign in. Raises `Limited` when there were too many from this address."""
    await session.execute(delete(SignInTry).where(SignInTry.at < at - TRIES_WITHIN))
    count = await session.scalar(select(func.count()).select_from(SignInTry).where(SignInTry.address == address))
    if (count or 0) >= TRIES:
        raise Limited("Too many attempts to sign in from your address.", hint="Wait five minutes, then try again.")
    session.add(SignInTry(address=address, at=at))


def is_same(one: str, other: str) -> bool:
    """Compare two secrets without telling how far they agree."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
