"""The tables of people and of the tokens by which programs and people call the API."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class Role(StrEnum):
    """What somebody may do. Each role may do all that the one before may."""

    VIEWER = "viewer"
    """Read everything but secrets."""
    OPERATOR = "operator"
    """Ask for operations, acknowledge, hold."""
    ADMIN = "admin"
    """Manage users, tokens and settings."""

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class User(Base):
    """A person known by Telegram."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role in ('viewer', 'operator', 'admin')", name="role_known"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    telegram_id: Mapped[int] = mapped_column(unique=True)
    username: Mapped[str | None]
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    is_admin: Mapped[bool] = mapped_column(server_default=text("false"))
    """Always what `role` says: older programs read and write it."""
    role: Mapped[str | None]
    """None: a stranger, who wrote to the bot and may do nothing."""
    role_set_by: Mapped[str | None]
    """Who decided the role; None: nobody did yet, so that TELEGRAM_ADMIN_IDS may."""
    language_code: Mapped[str | None]
    """What their Telegram speaks."""
    language: Mapped[str | None]
    """What they chose; goes before `language_code`."""
    chat_id: Mapped[int | None]
    """Where they are written to, when it is not `telegram_id`."""
    muted_until: Mapped[datetime | None]
    unreachable_since: Mapped[datetime | None]
    """They blocked the bot, or never started it."""
    created_at: Mapped[datetime]
    last_seen: Mapped[datetime]


class ApiToken(Base):
    """A bearer token. Only its hash is kept; the token itself is shown once."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)
    """SHA-256 in hexadecimal; the token has 256 random bits, so no salt is needed."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
