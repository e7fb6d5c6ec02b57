"""What tools answer: short JSON from rows. Servers are named by handle; no secret, no address, no key is among it."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lazaret.deployments.model import ServiceDeployment
from lazaret.healing.model import Approval
from lazaret.incidents.model import Incident, TimelineEntry
from lazaret.operations.model import Operation, OperationStep
from lazaret.probing.model import ServerHealth
from lazaret.servers.model import Server

LONGEST_TEXT = 300
"""Characters of one text; what servers, providers and people wrote may be of any length."""


def page(items: Sequence[dict[str, Any]], total: int, *, offset: int) -> dict[str, Any]:
    """One page of a list, and where the next one begins."""
    end = offset + len(items)
    return {"items": list(items), "total": total, "next_offset": end if end < total else None}


def plain(value: Any) -> Any:
    """JSON of one line and bounded length: control and invisible characters become spaces, times become text."""
    match value:
        case str():
            flat = "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in value)
            return flat if len(flat) <= LONGEST_TEXT else f"{flat[:LONGEST_TEXT]}…"
        case datetime():
            return value.isoformat(timespec="seconds")
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
    return value


def server_row(row: Server) -> dict[str, Any]:
    """One server in a list."""
    return {
        "server_handle": row.handle,
        "label": row.label or row.host,
        "is_managed": row.is_managed,
        "status": row.status,
        "status_since": row.status_since,
        "status_reason": row.status_reason,
    }


def server_detail(row: Server, health: Sequence[ServerHealth], live: Operation | None) -> dict[str, Any]:
    """One server with what is known of it."""
    return server_row(row) | {
        "presence": row.presence,
        "os_template": row.os_template,
        "capacity": {"cpu": row.capacity_cpu, "ram_mb": row.capacity_ram_mb, "disk_mb": row.capacity_disk_mb},
        "provisioned_at": row.provisioned_at,
        "rebuild_policy": row.rebuild_policy,
        "notes": row.notes,
        "seen_as": [
            {
                "phase": one.phase,
                "condition": one.condition,
                "because": one.because,
                "since": one.since,
                "memory_available_mb": one.reading.get("memory_available_mb"),
                "read_at": one.read_at,
            }
            for one in health
        ],
        "live_operation": operation_row(live) if live is not None else None,
    }


def service_row(row: ServiceDeployment) -> dict[str, Any]:
    """One service on a server."""
    return {
        "deployment_id": row.id,
        "project_id": row.project_id,
        "service_name": row.service_name,
        "server_handle": row.server_handle,
        "port": row.port,
        "status": row.status,
        "version": row.version,
        "deployed_at": row.deployed_at,
        "error": row.error,
    }


def incident_row(row: Incident) -> dict[str, Any]:
    """One incident in a list."""
    return {
        "incident_id": row.id,
        "server_handle": row.server_handle,
        "type": row.incident_type,
        "cause": row.cause,
        "status": row.status,
        "detected_at": row.detected_at,
        "resolved_at": row.resolved_at,
        "affected_services": row.affected_services,
        "acknowledged_by": row.acknowledged_by,
    }


def incident_detail(row: Incident, timeline: Sequence[TimelineEntry]) -> dict[str, Any]:
    """One incident with the newest lines of its story."""
    lines = [{"at": line.at, "kind": line.kind, "message": line.message} for line in timeline]
    return incident_row(row) | {"recovery_attempts": row.recovery_attempts, "timeline": lines}


def operation_row(row: Operation) -> dict[str, Any]:
    """One operation in a list."""
    return {
        "operation_id": row.id,
        "server_handle": row.server_handle,
        "kind": row.kind,
        "status": row.status,
        "step": row.step,
        "requested_by": row.requested_by,
        "reason": row.reason,
        "attempt": f"{row.attempt} of {row.max_attempts}",
        "waiting_for": row.waiting_for,
        "error": row.error,
        "hint": row.hint,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def operation_detail(row: Operation, steps: Sequence[OperationStep]) -> dict[str, Any]:
    """One operation with the newest runs of its steps."""
    told = [
        {"name": step.name, "status": step.status, "detail": step.detail, "finished_at": step.finished_at}
        for step in steps[-20:]
    ]
    return operation_row(row) | {"steps": told}


def approval_row(row: Approval) -> dict[str, Any]:
    """One question to people, and what became of it."""
    return {
        "approval_id": row.id,
        "server_handle": row.server_handle,
        "asks_for": row.remedy,
        "asked_by": row.asked_by or "a recovery",
        "question": row.why,
        "state": row.decision or "open",
        "expires_at": row.expires_at,
        "decided_by": row.decided_by,
        "note": row.note,
        "operation_id": row.operation_id,
    }
