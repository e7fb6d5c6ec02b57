"""The provider's answers, exactly as documented, and the ways in which they are known to vary.

Pure functions from the lab's values to JSON. Decides nothing, calls nobody.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from lazaret.lab.servers import CloudServer
from lazaret.lab.tasks import LabTask

Json = Any
"""A plain JSON value."""

SCRIPTS: tuple[dict[str, Json], ...] = (
    {"id": 12, "name": "hello", "syntax": "shell", "content": "#!/bin/sh\necho hello > /root/hello\n"},
)
GRAPH_TYPES = ("traffic", "netpps", "cpu", "load", "io", "iops", "memory", "storage")
_ID_FIELDS = frozenset({"server_id", "task_id", "package_id", "id"})


def iso(moment: datetime | None) -> str:
    """The documented form of a date; an empty string for none."""
    return moment.replace(microsecond=0).isoformat() if moment is not None else ""


def listed(server: CloudServer) -> dict[str, Json]:
    """One row of GET /server. It has no status."""
    return {
        "server_id": server.server_id,
        "domain": server.hostname,
        "ip": server.address,
        "date_created": server.created_at.strftime("%Y-%m-%d"),
        "synch_date": server.created_at.strftime("%Y-%m-%d %H:%M:%S"),
        "label": server.label,
        "type": "Linux",
    }


def details(server: CloudServer, now: datetime) -> dict[str, Json]:
    """GET /server/{id}. It has no server_id; figures lag by minutes."""
    plan = server.plan
    active = server.active_task
    return {
        "synch_date": iso(now - timedelta(minutes=4)),
        "package_id": plan.package_id,
        "domain": server.hostname,
        "label": server.label,
        "status": "Active",
        "cpu_frequency": plan.cpu_frequency_mhz,
        "cpu_cores": plan.cpu_cores,
        "ram_limit": plan.ram_mb,
        "ram_used": plan.ram_mb * 8 // 10,
        "disk_limit": plan.disk_mb,
        "disk_usage": 9100,
        "bw_limit": plan.bandwidth_mb,
        "bw_in": 1200,
        "bw_out": 5300,
        "os": server.os,
        "ip": server.address,
        "additional_ip": list(server.additional_ips),
        "dns_servers": list(server.dns_servers) or None,
        "components": [{"id": 71, "name": "Daily and weekly backups", "selected": False}],
        "active_task": {"name": active.name, "activated": iso(active.activated)} if active else None,
        "last_tasks": [task(one) for one in server.finished_tasks] or None,
    }


def task(one: LabTask) -> dict[str, Json]:
    """GET /server/{id}/task/{task}. It has no id; unset stamps are empty strings."""
    return {
        "name": one.name,
        "activated": iso(one.activated),
        "assigned": iso(one.assigned),
        "completed": iso(one.completed),
        "results": one.results.get_secret_value(),
    }


def history(server: CloudServer, now: datetime) -> list[dict[str, Json]]:
    """GET /server/{id}/history: the last three months, oldest first."""
    months = [(now.replace(day=15) - timedelta(days=30 * back)) for back in (2, 1, 0)]
    return [
        {
            "year": month.year,
            "month": month.month,
            "bw_in": 51200,
            "bw_out": 20480,
            "quota_usage": 9100,
            "quota_limit": server.plan.disk_mb,
            "inode_usage": 120000,
            "inode_limit": 2000000,
        }
        for month in months
    ]


def graphs(server: CloudServer, width_px: int) -> list[dict[str, Json]]:
    """GET /server/{id}/graphs/{width}: links without a scheme."""
    return [
        {"type": f"{kind}_daily", "url": f"//stats.example.net/graph.php?q={server.server_id}-{kind}-{width_px}"}
        for kind in GRAPH_TYPES
    ]


def service_row(server: CloudServer) -> dict[str, Json]:
    """One row of GET /service; money is a string."""
    return {
        "id": str(server.server_id),
        "domain": server.hostname,
        "total": "6.04",
        "status": "Active",
        "billingcycle": "Monthly",
        "next_due": (server.created_at + timedelta(days=30)).strftime("%Y-%m-%d"),
        "category": "Linux VPS",
        "category_url": "linux-vps",
        "name": "Linux 4",
    }


def service(server: CloudServer, login: str) -> dict[str, Json]:
    """GET /service/{id}, inside its wrapper."""
    row = service_row(server)
    return {
        "service": {
            **{key: row[key] for key in ("id", "domain", "total", "billingcycle", "next_due", "status", "name")},
            "date_created": server.created_at.strftime("%Y-%m-%d"),
            "firstpayment": "6.04",
            "next_invoice": row["next_due"],
            "label": server.label,
            "username": login,
        }
    }


def with_nulls(body: Json) -> Json:
    """Null wherever an empty string stood."""
    return _each_value(body, lambda _key, value: None if value == "" else value)


def with_string_ids(body: Json) -> Json:
    """Ids as strings."""
    return _each_value(body, lambda key, value: str(value) if key in _ID_FIELDS and isinstance(value, int) else value)


def with_space_dates(body: Json) -> Json:
    """Dates as `YYYY-MM-DD HH:MM:SS`."""
    return _each_value(body, lambda _key, value: _space_date(value) if isinstance(value, str) else value)


def as_single_object(body: Json) -> Json:
    """The only element instead of a list of one."""
    return body[0] if isinstance(body, list) and len(body) == 1 else body


def _space_date(text: str) -> str:
    if len(text) != len("2026-03-02T08:00:00+00:00") or text[10:11] != "T":
        return text
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return text


def _each_value(body: Json, change: Callable[[str, Json], Json]) -> Json:
    if isinstance(body, dict):
        return {key: _each_value(change(key, value), change) for key, value in body.items()}
    if isinstance(body, list):
        return [_each_value(value, change) for value in body]
    return body


def error(*parts: Json) -> dict[str, Json]:
    """The body of every refusal: a list whose parts are strings or nested lists."""
    return {"error": list(parts)}


def rows(servers: Iterable[CloudServer]) -> list[dict[str, Json]]:
    """GET /server."""
    return [listed(server) for server in servers]
