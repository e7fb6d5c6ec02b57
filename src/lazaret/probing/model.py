"""The tables of watching: what is known of each server's health, its recent series, and who watches. Rows only."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from lazaret.kernel.database import Base


class ServerHealth(Base):
    """The present verdict on one server, as one vantage sees it, with the newest reading."""

    __tablename__ = "server_health"

    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"), primary_key=True)
    vantage: Mapped[str] = mapped_column(primary_key=True, server_default="main")
    monitor: Mapped[str]
    """Which process says so."""
    phase: Mapped[str]
    condition: Mapped[str | None]
    symptoms: Mapped[list[Any]] = mapped_column(server_default="[]")
    because: Mapped[str] = mapped_column(server_default="")
    is_flapping: Mapped[bool] = mapped_column(server_default="false")
    since: Mapped[datetime]
    """When the phase or condition last changed."""
    read_at: Mapped[datetime | None]
    """When the newest reading came."""
    reading: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    """The newest reading, with the newest costly part."""
    updated_at: Mapped[datetime]


class ReadingSample(Base):
    """One sample of a server's recent series. Bounded by construction: a slot is written over after a day."""

    __tablename__ = "readings"

    server_handle: Mapped[str] = mapped_column(ForeignKey("servers.handle"), primary_key=True)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    """The minute of the day in UTC, 0 to 1439."""
    at: Mapped[datetime]
    load_1m: Mapped[float]
    memory_available_mb: Mapped[int]
    disk_used_percent: Mapped[float | None]
    """Of the fullest disk."""
    uptime_s: Mapped[float]


class Monitor(Base):
    """One monitor process. It has its share of the fleet for as long as `seen_at` is fresh."""

    __tablename__ = "monitors"

    id: Mapped[str] = mapped_column(primary_key=True)
    vantage: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    servers: Mapped[int] = mapped_column(server_default="0")
    """How many it watches."""
    is_blind: Mapped[bool] = mapped_column(server_default="false")
    because: Mapped[str] = mapped_column(server_default="")
    """Why it is blind."""
