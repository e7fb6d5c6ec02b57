"""The desk of deployments with what it needs from the rooms above it: measurements and incidents."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments import store
from lazaret.deployments.admission import Capacity
from lazaret.deployments.requests import Harbour
from lazaret.deployments.spec import containers_of, spec_from
from lazaret.entrypoints.office import Office
from lazaret.incidents.model import OPEN, Incident
from lazaret.probing.model import ServerHealth
from lazaret.probing.monitor import Expected
from lazaret.probing.symptoms import Expectations


def harbour_of(office: Office) -> Harbour:
    """Where services are asked for."""
    first, last = office.settings.lazaret_deploy_ports
    return Harbour(office.intents, office.secrets, range(first, last + 1), measured, open_incidents)


async def measured(session: AsyncSession, handles: Sequence[str]) -> dict[str, Capacity]:
    """What the newest full reading of each server says is free; the root disk is where services live."""
    rows = await session.execute(
        select(ServerHealth.server_handle, ServerHealth.reading, ServerHealth.read_at).where(
            ServerHealth.server_handle.in_(handles), ServerHealth.read_at.is_not(None)
        )
    )
    found: dict[str, Capacity] = {}
    for handle, reading, read_at in rows:
        capacity = _capacity(reading, read_at)
        if capacity is not None:
            found[handle] = capacity
    return found


def _capacity(reading: dict[str, object], read_at: datetime) -> Capacity | None:
    full = reading.get("full")
    memory = reading.get("memory_available_mb")
    if not isinstance(full, dict) or not isinstance(memory, int):
        return None
    root = full.get("disks", {}).get("/")
    return Capacity(memory, int(root["available_mb"]), read_at) if root else None


async def open_incidents(session: AsyncSession, handles: Sequence[str]) -> dict[str, int]:
    """How many incidents are open on each of these servers."""
    rows = await session.execute(
        select(Incident.server_handle, func.count())
        .where(Incident.server_handle.in_(handles), Incident.status.in_([status.value for status in OPEN]))
        .group_by(Incident.server_handle)
    )
    return {handle: count for handle, count in rows if handle is not None}


async def expected_on(session: AsyncSession, handles: list[str]) -> dict[str, Expected]:
    """The containers that should run on these servers, and the ports that should answer from outside."""
    services: dict[str, dict[str, tuple[str, ...]]] = {}
    ports: dict[str, list[int]] = {}
    for deployment, kept in await store.specs_running(session, handles):
        spec = spec_from(kept, {})
        services.setdefault(deployment.server_handle, {})[deployment.service_name] = containers_of(
            deployment.service_name, spec
        )
        if spec.is_public:
            ports.setdefault(deployment.server_handle, []).append(deployment.port)
    return {handle: (Expectations(names), tuple(ports.get(handle, ()))) for handle, names in services.items()}


async def expectations_on(session: AsyncSession, handle: str) -> Expectations:
    """What should run on one server."""
    found = await expected_on(session, [handle])
    return found[handle][0] if handle in found else Expectations()
