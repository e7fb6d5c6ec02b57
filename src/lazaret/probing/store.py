"""Reads and writes of the tables of watching. Writes are batched: one statement for many servers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, String, cast, func, literal, or_, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.probing.model import Monitor, ReadingSample, ServerHealth
from lazaret.probing.reading import FullReading, Reading
from lazaret.probing.share import ALIVE_S
from lazaret.probing.verdict import Phase, Verdict
from lazaret.servers.access import SshEndpoint
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus

WATCHED = (ServerStatus.READY, ServerStatus.IN_USE, ServerStatus.ERROR, ServerStatus.MAINTENANCE)
"""Servers that are set up and not being changed by the wish of somebody."""

_WATCHABLE = (
    Server.is_managed,
    Server.provisioned_at.is_not(None),
    Server.public_ip.is_not(None),
    Server.status.in_([status.value for status in WATCHED]),
)

_ROW = func.concat_ws(
    "\x1f", Server.handle, Server.public_ip, Server.ssh_port, Server.ssh_user, cast(Server.host_keys, String)
)
_FINGERPRINT = select(func.md5(func.string_agg(_ROW, aggregate_order_by(literal("\x1e"), Server.handle)))).where(
    *_WATCHABLE
)
_HEALTH = text(
    """
    with fresh as materialized (
        select * from jsonb_to_recordset(cast(:rows as jsonb)) as fresh (
            server_handle text, vantage text, monitor text, phase text, condition text, symptoms jsonb, because text,
            is_flapping boolean, since timestamptz, read_at timestamptz, reading jsonb, updated_at timestamptz,
            slot smallint, disk_used_percent float8)
    ), sampled as (
        insert into readings (server_handle, slot, at, load_1m, memory_available_mb, disk_used_percent, uptime_s)
        select server_handle, slot, read_at, cast(reading ->> 'load_1m' as float8),
               cast(reading ->> 'memory_available_mb' as bigint), disk_used_percent,
               cast(reading ->> 'uptime_s' as float8)
        from fresh where read_at is not null
        on conflict (server_handle, slot) do update set
            at = excluded.at, load_1m = excluded.load_1m, memory_available_mb = excluded.memory_available_mb,
            disk_used_percent = excluded.disk_used_percent, uptime_s = excluded.uptime_s
    ), checked as (
        update servers set last_health_check = fresh.read_at
        from fresh where servers.handle = fresh.server_handle and fresh.read_at is not null
    )
    insert into server_health as known (server_handle, vantage, monitor, phase, condition, symptoms, because,
                                        is_flapping, since, read_at, reading, updated_at)
    select server_handle, vantage, monitor, phase, condition, symptoms, because, is_flapping, since, read_at, reading,
           updated_at
    from fresh
    on conflict (server_handle, vantage) do update set
        monitor = excluded.monitor, phase = excluded.phase, condition = excluded.condition,
        symptoms = excluded.symptoms, because = excluded.because, is_flapping = excluded.is_flapping,
        since = case when (known.phase, known.condition) is distinct from (excluded.phase, excluded.condition)
                     then excluded.since else known.since end,
        read_at = coalesce(excluded.read_at, known.read_at),
        reading = case when excluded.read_at is null then known.reading else excluded.reading end,
        updated_at = excluded.updated_at
    """
)
_BEAT = text(
    """
    with gone as (
        delete from monitors where seen_at < cast(:at as timestamptz) - interval '1 day'
    ), beating as (
        insert into monitors (id, vantage, started_at, seen_at, servers, is_blind, because)
        values (:id, :vantage, :started_at, :at, :servers, :is_blind, :because)
        on conflict (id) do update set
            seen_at = excluded.seen_at, servers = excluded.servers, is_blind = excluded.is_blind,
            because = excluded.because
    )
    select id from monitors where vantage = :vantage and seen_at > :alive_since and id <> :id
    """
)


@dataclass(frozen=True, slots=True)
class HealthRow:
    """What is to be written of one server."""

    handle: str
    verdict: Verdict
    reading: Reading | None
    """The newest full reading, if it is new."""


async def write_health(
    session: AsyncSession, rows: Sequence[HealthRow], *, monitor: str, vantage: str, at: datetime
) -> None:
    """Write verdicts and readings of many servers, in one statement."""
    health = [_health_of(row, monitor, vantage, at) for row in rows]
    await session.execute(_HEALTH, {"rows": json.dumps(health)})


def _health_of(row: HealthRow, monitor: str, vantage: str, at: datetime) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "server_handle": row.handle,
        "vantage": vantage,
        "monitor": monitor,
        "phase": verdict.phase.value,
        "condition": verdict.condition.value if verdict.condition else None,
        "symptoms": [symptom.as_json() for symptom in verdict.symptoms],
        "because": verdict.because,
        "is_flapping": verdict.flapping,
        "since": at.isoformat(),
        "read_at": row.reading.at.isoformat() if row.reading else None,
        "reading": reading_as_json(row.reading) if row.reading else {},
        "updated_at": at.isoformat(),
        "slot": row.reading.at.hour * 60 + row.reading.at.minute if row.reading else None,
        "disk_used_percent": _fullest_disk(row.reading) if row.reading else None,
    }


def reading_as_json(reading: Reading) -> dict[str, Any]:
    """Plain JSON, as the API shows it. By hand, for `asdict` took as long as all else that is done with a reading."""
    return {
        "at": reading.at.isoformat(),
        "boot_id": reading.boot_id,
        "uptime_s": reading.uptime_s,
        "load_1m": reading.load_1m,
        "memory_total_mb": reading.memory_total_mb,
        "memory_available_mb": reading.memory_available_mb,
        "clock_offset_s": reading.clock_offset_s,
        "full": _full_as_json(reading.full) if reading.full is not None else None,
    }


def _full_as_json(full: FullReading) -> dict[str, Any]:
    docker = full.docker
    return {
        "machine_id": full.machine_id,
        "disks": {
            mount: {
                "used_percent": disk.used_percent,
                "inodes_percent": disk.inodes_percent,
                "available_mb": disk.available_mb,
            }
            for mount, disk in full.disks.items()
        },
        "docker": {"running": docker.running, "containers": dict(docker.containers)} if docker is not None else None,
        "firewall_active": full.firewall_active,
        "failed_units": list(full.failed_units),
        "pending_reboot": full.pending_reboot,
        "baseline_version": full.baseline_version,
    }


def _fullest_disk(reading: Reading) -> float | None:
    disks = reading.full.disks.values() if reading.full else ()
    return max((disk.used_percent for disk in disks), default=None)


async def beat(
    session: AsyncSession, monitor: str, *, vantage: str, servers: int, blind: str, started_at: datetime, at: datetime
) -> list[str]:
    """Say that this monitor lives; returns the others of its vantage that do. `blind`: why it cannot see, or empty."""
    others = await session.scalars(
        _BEAT,
        {
            "id": monitor,
            "vantage": vantage,
            "started_at": started_at,
            "at": at,
            "servers": servers,
            "is_blind": bool(blind),
            "because": blind,
            "alive_since": at - timedelta(seconds=ALIVE_S),
        },
    )
    return list(others)


async def leave(session: AsyncSession, monitor: str) -> None:
    """This monitor ends: its share falls to the others at once."""
    await session.execute(text("delete from monitors where id = :id"), {"id": monitor})


async def watchable(session: AsyncSession) -> dict[str, tuple[SshEndpoint, tuple[str, ...]]]:
    """The servers that are to be watched: where they are, and their pinned host keys."""
    rows = await session.execute(
        select(Server.handle, Server.public_ip, Server.ssh_port, Server.ssh_user, Server.host_keys).where(*_WATCHABLE)
    )
    return {handle: (SshEndpoint(address or "", port, user), tuple(keys)) for handle, address, port, user, keys in rows}


async def watchable_fingerprint(session: AsyncSession) -> str:
    """Changes exactly when `watchable` gives something else; PostgreSQL makes it ten times as fast as we read rows."""
    return await session.scalar(_FINGERPRINT) or ""


async def health_of(session: AsyncSession, handle: str) -> list[ServerHealth]:
    """The present verdicts on a server, one per vantage."""
    rows = await session.scalars(
        select(ServerHealth).where(ServerHealth.server_handle == handle).order_by(ServerHealth.vantage)
    )
    return list(rows)


async def health_by_the_living(session: AsyncSession, handle: str, *, at: datetime) -> list[ServerHealth]:
    """The verdicts of monitors that live: what a dead one said last is no sense that agrees."""
    return list(await session.scalars(_by_the_living(handle, at)))


def _by_the_living(handle: str, at: datetime) -> Select[ServerHealth]:
    return (
        select(ServerHealth)
        .join(Monitor, Monitor.id == ServerHealth.monitor)
        .where(ServerHealth.server_handle == handle, Monitor.seen_at > at - timedelta(seconds=ALIVE_S))
    )


async def is_held_for_lost(session: AsyncSession, handle: str, *, since: datetime, at: datetime) -> bool:
    """Whether a monitor that lives and sees holds the server, which was found lost at `since`, for lost at `at`.

    What it wrote before that says nothing: verdicts are told at once and written down a moment later.
    """
    holds = or_(
        ServerHealth.phase.in_([Phase.LOST.value, Phase.RETURNING.value]),
        ServerHealth.updated_at <= since,
    )
    return await session.scalar(_by_the_living(handle, at).where(~Monitor.is_blind, holds).limit(1)) is not None


async def samples_of(session: AsyncSession, handle: str, *, since: datetime) -> list[ReadingSample]:
    """The recent series of a server, oldest first."""
    rows = await session.scalars(
        select(ReadingSample)
        .where(ReadingSample.server_handle == handle, ReadingSample.at >= since)
        .order_by(ReadingSample.at)
    )
    return list(rows)
