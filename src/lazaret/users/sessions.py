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
from sqlalchemy import ColumnElement, ForeignKey, Index, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel import audit
from lazaret.kernel.database import Base
from lazaret.kernel.errors import Limited, NotFound, Unauthenticated
from lazaret.users.model import Role, User
from lazaret.users.store import caller_of, token_holds

LINK_LIFETIME = timedelta(minutes=10)
IDLE = timedelta(hours=12)
"""A session that is not used for so long is over."""
LONGEST = timedelta(days=14)
"""Every session is over after this."""
SEEN_EVERY = timedelta(minutes=1)
TRIES, TRIES_WITHIN = 10, timedelta(minutes=5)
"""So often one address may fail to sign in."""


class LoginLink(Base):
    """A one-time link: who opens it and confirms is `name`, with `role` or what the person's role is by then."""

    __tablename__ = "login_links"

    id: Mapped[int] = mapped_column(primary_key=True)
    secret_hash: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    role: Mapped[str]
    token_id: Mapped[int | None] = mapped_column(ForeignKey("api_tokens.id"))
    """The token that acted when it was made; the link, and the session that it begins, hold no longer than it does."""
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
    """One attempt to sign in: one that failed, or is being looked at."""

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


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What ended."""

    sessions: int
    links: int
    """Not used yet."""


async def create_login_link(
    session: AsyncSession,
    name: str,
    role: Role,
    actor: audit.Actor,
    *,
    at: datetime,
    token_id: int | None = None,
    user_id: int | None = None,
) -> SecretStr:
    """The secret of a link that signs in once, within ten minutes; `token_id` is the token that acts, if one does."""
    secret = secrets.token_urlsafe(32)
    session.add(
        LoginLink(
            secret_hash=_hash(secret),
            name=name,
            role=role.value,
            token_id=token_id,
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
    if link is None or link.used_at is not None or link.expires_at <= at or not await _may_stand(session, link, at):
        raise Unauthenticated(
            "This link is used up or has expired.", hint="Make another: lazaret token login, or /login in Telegram."
        )
    link.used_at = at
    return await _begin(session, link.name, Role(link.role), at=at, token_id=link.token_id, user_id=link.user_id)


async def _may_stand(session: AsyncSession, link: LoginLink, at: datetime) -> bool:
    return link.token_id is None or await token_holds(session, link.token_id, at=at)


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
        return Role(row.role) if await token_holds(session, row.token_id, at=at) else None
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


async def sign_out_everywhere(session: AsyncSession, name: str, actor: audit.Actor, *, at: datetime) -> SignedOut:
    """End every session of a name, and every link that would begin another. Raises `NotFound`.

    The links first: one that is being used at this moment has begun its session before the sessions are looked at.
    """
    links = update(LoginLink).where(LoginLink.name == name, LoginLink.used_at.is_(None), LoginLink.expires_at > at)
    voided = list(await session.scalars(links.values(used_at=at).returning(LoginLink.id)))
    sessions = update(WebSession).where(WebSession.name == name, *_goes_on(at))
    ended = list(await session.scalars(sessions.values(ended_at=at).returning(WebSession.id)))
    if not ended and not voided:
        names = await session.scalars(select(WebSession.name).where(*_goes_on(at)).distinct().order_by(WebSession.name))
        signed_in_now = ", ".join(names) or "nobody"
        raise NotFound(f"Nobody is signed in as {name}.", hint=f"Signed in now: {signed_in_now}.")
    audit.record(session, actor, "session.end", f"user:{name}", at=at, sessions=len(ended), links=len(voided))
    return SignedOut(len(ended), len(voided))


def _goes_on(at: datetime) -> tuple[ColumnElement[bool], ...]:
    """As `_is_old` judges one row."""
    return WebSession.ended_at.is_(None), WebSession.seen_at >= at - IDLE, WebSession.created_at >= at - LONGEST


async def set_language(session: AsyncSession, session_id: int, language: str) -> None:
    """In which language this session reads."""
    (await session.get_one(WebSession, session_id)).language = language


async def count_try(session: AsyncSession, address: str, *, at: datetime) -> int:
    """Note an attempt to sign in, and say which it is. Raises `Limited` when too many from this address failed.

    It counts from before it is looked at: else whatever is under way at once would be free.
    """
    await session.execute(delete(SignInTry).where(SignInTry.at < at - TRIES_WITHIN))
    count = await session.scalar(select(func.count()).select_from(SignInTry).where(SignInTry.address == address))
    if (count or 0) >= TRIES:
        raise Limited("Too many attempts to sign in from your address.", hint="Wait five minutes, then try again.")
    noted = SignInTry(address=address, at=at)
    session.add(noted)
    await session.flush()
    return noted.id


async def forget_try(session: AsyncSession, try_id: int) -> None:
    """It was no guess: whoever signs in takes nothing away from the others behind the same address."""
    await session.execute(delete(SignInTry).where(SignInTry.id == try_id))


def is_same(one: str, other: str) -> bool:
    """Compare two secrets without telling how far they agree."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
