"""A believable fleet, written through the tables: what pages and screenshots show."""

import math
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.model import ServiceDeployment, ServiceRelease
from lazaret.healing.model import Approval, Evidence, RemedyRun
from lazaret.incidents.model import Incident, TimelineEntry, TimelineKind
from lazaret.incidents.store import tell
from lazaret.kernel import audit
from lazaret.operations.model import Operation, OperationEvent, OperationStep
from lazaret.probing.model import Monitor, ReadingSample, ServerHealth
from lazaret.servers.model import Hold, Server, SyncState
from lazaret.users.model import User

EVENTS = (
    "attempt 1 of 3",
    "our key works",
    "no answer on SSH yet (host_silent)",
    "SSH answers",
    "services brought back: wiki",
)
"""Lines of a log as operations write them."""
RISK = "ALL DATA on the server and its backups at the provider go."
STATES = ("ready", "in_use", "in_use", "ready", "error", "provisioning", "in_use", "maintenance", "reserved", "ready")


async def add_example_fleet(session: AsyncSession, *, at: datetime, servers: int = 12, hostile: str = "") -> None:
    """Servers in several states, an incident that waits for an approval, one that is over, services, people.

    `hostile` is put into every text that a server, the provider or a person controls.
    """
    for number in range(1, servers + 1):
        session.add(_server(number, at, hostile))
    await session.flush()
    for number in range(1, servers + 1):
        session.add(_health(number, at, hostile))
    for minute in range(0, 330, 3):
        session.add(_sample(minute, at))
    await _services(session, at, hostile)
    await _trouble(session, at, hostile)
    await _past(session, at, hostile)
    session.add(Hold(server_handle="vps-2004", owner="cli:ann", reason=f"disk swap{hostile}", created_at=at))
    session.add(SyncState(provider="time4vps", last_attempt_at=at, last_success_at=at, listed=servers, failures=0))
    session.add(
        Monitor(id="main-1", vantage="main", started_at=at, seen_at=at, servers=servers, is_blind=False, because="")
    )
    session.add(
        User(
            telegram_id=501,
            username=f"ann{hostile}",
            first_name=f"Ann{hostile}",
            last_name=None,
            is_admin=True,
            role="admin",
            role_set_by="cli:root",
            created_at=at,
            last_seen=at,
        )
    )
    session.add(User(telegram_id=777, first_name=f"Eve{hostile}", is_admin=False, created_at=at, last_seen=at))


def _server(number: int, at: datetime, hostile: str) -> Server:
    state = STATES[(number - 1) % len(STATES)]
    return Server(
        handle=f"vps-{2000 + number}",
        provider="time4vps",
        provider_id=2000 + number,
        host=f"s{number}.example.net{hostile}",
        label=("shop", "blog", "mail", "build")[number % 4] + hostile,
        public_ip=f"203.0.113.{number % 250 + 1}",
        is_managed=state != "reserved",
        status=state,
        status_since=at - timedelta(minutes=7 * number),
        status_reason=f"silent: Fresh looks failed in a row: 3 x login silent, 2 x tcp silent.{hostile}"
        if state == "error"
        else "",
        os_template="debian-13-x86_64",
        capacity_cpu=2,
        capacity_ram_mb=4096,
        capacity_disk_mb=61440,
        last_health_check=at - timedelta(seconds=5),
        provisioned_at=at - timedelta(days=40),
        baseline_version="1",
        notes=hostile,
        created_at=at - timedelta(days=40),
        updated_at=at,
    )


def _health(number: int, at: datetime, hostile: str) -> ServerHealth:
    lost = STATES[(number - 1) % len(STATES)] == "error"
    because = (
        "Fresh looks failed in a row: 3 x login silent, 2 x tcp silent."
        if lost
        else "It answers, and its readings are in order."
    )
    return ServerHealth(
        server_handle=f"vps-{2000 + number}",
        vantage="main",
        monitor="main-1",
        phase="lost" if lost else "well",
        condition="silent" if lost else None,
        symptoms=[],
        because=because + hostile,
        is_flapping=False,
        since=at - timedelta(minutes=4),
        read_at=at - timedelta(minutes=4 if lost else 0, seconds=6),
        reading={},
        updated_at=at,
    )


def _sample(minute: int, at: datetime) -> ReadingSample:
    return ReadingSample(
        server_handle="vps-2002",
        slot=minute,
        at=at - timedelta(minutes=330 - minute),
        load_1m=0.6 + 0.4 * math.sin(minute / 20),
        memory_available_mb=1900 + int(300 * math.cos(minute / 45)),
        disk_used_percent=41 + minute / 40,
        uptime_s=86400.0 * 12,
    )


async def _services(session: AsyncSession, at: datetime, hostile: str) -> None:
    for number, (name, server) in enumerate([("shop", 2002), ("blog", 2003), ("mail", 2007), ("wiki", 2005)], 1):
        row = ServiceDeployment(
            project_id=f"acme{hostile}",
            service_name=name + hostile,
            server_handle=f"vps-{server}",
            port=20000 + number,
            deployed_at=at - timedelta(days=3),
            status="failed" if name == "wiki" else "running",
            version=2,
            error=f"Version 3 of wiki is not good: wiki runs, and its port 20004 does not answer from outside.{hostile}"
            if name == "wiki"
            else "",
            created_by=f"api:ci{hostile}",
            created_at=at - timedelta(days=9),
            updated_at=at,
        )
        session.add(row)
        await session.flush()
        for version in (1, 2):
            session.add(
                ServiceRelease(
                    deployment_id=row.id,
                    version=version,
                    spec={"image": f"registry.example/{name}:{version}{hostile}"},
                    outcome="good",
                    detail=hostile,
                    created_by="api:ci",
                    created_at=at - timedelta(days=9 - version),
                )
            )


async def _trouble(session: AsyncSession, at: datetime, hostile: str) -> None:
    incident = Incident(
        server_handle="vps-2005",
        incident_type="server_unreachable",
        cause="silent",
        began_at=at - timedelta(seconds=253),
        detected_at=at - timedelta(seconds=240),
        status="recovering",
        affected_services=["wiki" + hostile],
        recovery_attempts=2,
        details={},
    )
    session.add(incident)
    operation = Operation(
        server_handle="vps-2005",
        kind="recover",
        status="waiting",
        requested_by="system:monitor",
        reason="incident 1: silent",
        params={},
        priority=90,
        step="ask_approval",
        attempt=1,
        max_attempts=3,
        due_at=at,
        waiting_for="approval",
        hint=f"vps-2005 is silent. Next would be: reinstall. Nothing gentler is left. Risk: {RISK}{hostile}",
        result={},
        created_at=at - timedelta(seconds=240),
    )
    session.add(operation)
    await session.flush()
    operation.params = {"incident_id": incident.id}
    for second, kind, message in (
        (
            240,
            TimelineKind.OBSERVATION,
            f"silent: Fresh looks failed in a row: 3 x login silent, 2 x tcp silent.{hostile}",
        ),
        (238, TimelineKind.MESSAGE, "the administrators were told"),
        (
            236,
            TimelineKind.DECISION,
            "diagnosis: silent (port 22 is silent). Plan: flush_firewall, reboot, reinstall. Nothing gentler is left.",
        ),
        (
            230,
            TimelineKind.ATTEMPT,
            "begins: flush_firewall. A packet filter may shut us out; dropping its rules harms nothing and is "
            "quickly tried.",
        ),
        (205, TimelineKind.OBSERVATION, "flush_firewall did not help: port 22 is silent"),
        (200, TimelineKind.ATTEMPT, "begins: reboot. The machine does not answer, or what runs on it does not mend."),
        (20, TimelineKind.OBSERVATION, "reboot did not help: port 22 is silent"),
    ):
        tell(session, incident, kind, message, at=at - timedelta(seconds=second))
    for rung, remedy in enumerate(("flush_firewall", "reboot")):
        session.add(
            RemedyRun(
                operation_id=operation.id,
                incident_id=incident.id,
                server_handle="vps-2005",
                rung=rung,
                remedy=remedy,
                because=f"The machine does not answer, or what runs on it does not mend.{hostile}",
                begun_at=at - timedelta(seconds=230 - 30 * rung),
                ended_at=at - timedelta(seconds=205 - 180 * rung),
                outcome="no_effect",
                detail="port 22 is silent",
            )
        )
    session.add(
        Approval(
            operation_id=operation.id,
            incident_id=incident.id,
            server_handle="vps-2005",
            rung=3,
            remedy="reinstall",
            why=f"vps-2005 is silent. Next would be: reinstall. Nothing gentler is left. Risk: {RISK}{hostile}",
            asked_at=at - timedelta(seconds=18),
            expires_at=at + timedelta(hours=12),
        )
    )
    session.add(
        Evidence(
            incident_id=incident.id, server_handle="vps-2005", at=at, name=f"journal{hostile}", content=f"oom{hostile}"
        )
        if hasattr(Evidence, "server_handle")
        else Evidence(incident_id=incident.id, at=at, name=f"journal{hostile}", content=f"oom{hostile}")
    )
    for name, status, detail in (
        ("diagnose", "advanced", "reboot is held back: the server is in maintenance"),
        ("act", "advanced", "reboot is done"),
        ("ask_approval", "waiting", "reinstall"),
    ):
        session.add(
            OperationStep(
                operation_id=operation.id,
                name=name,
                attempt=1,
                status=status,
                detail=detail + hostile,
                started_at=at - timedelta(seconds=100),
                finished_at=None if status == "waiting" else at,
            )
        )
    for second in range(30):
        session.add(
            OperationEvent(
                operation_id=operation.id,
                server_handle="vps-2005",
                at=at - timedelta(seconds=120 - second),
                kind="note",
                step="act",
                message=f"{EVENTS[second % len(EVENTS)]}{hostile}",
                data={},
            )
        )


async def _past(session: AsyncSession, at: datetime, hostile: str) -> None:
    over = Incident(
        server_handle="vps-2002",
        incident_type="service_down",
        cause="docker_down",
        began_at=at - timedelta(hours=30),
        detected_at=at - timedelta(hours=30),
        resolved_at=at - timedelta(hours=29, minutes=59),
        status="resolved",
        affected_services=["shop"],
        recovery_attempts=1,
        details={},
        acknowledged_at=at,
        acknowledged_by=f"telegram:ann{hostile}",
    )
    session.add(over)
    await session.flush()
    session.add(TimelineEntry(incident_id=over.id, at=at, kind="observation", message="it is over", data={}))
    for action, subject in (
        ("server.status", "server:vps-2002"),
        ("user.role", "user:501"),
        ("incident.open", "server:vps-2005"),
    ):
        audit.record(
            session, audit.Actor(f"ann{hostile}", audit.Channel.TELEGRAM), action, subject, at=at, reason=hostile
        )
