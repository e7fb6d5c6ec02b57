"""The demo's second act: a server loses its power before the user's eyes, and comes back with its service."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
from rich.console import Console
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import HttpCheck, ServiceSpec
from lazaret.entrypoints.harbour import harbour_of
from lazaret.entrypoints.office import Office
from lazaret.incidents.model import Incident, IncidentStatus, TimelineEntry
from lazaret.kernel import audit
from lazaret.lab.images import WEB_COMMAND, WEB_IMAGE, WEB_PORT, WEB_SAYS, make_web_image
from lazaret.lab.instance import Lab
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.servers import server_id_of
from lazaret.operations.model import LIVE, OperationStatus
from lazaret.operations.store import get_operation
from lazaret.probing.model import ServerHealth
from lazaret.probing.verdict import Phase

LOOK_S = 0.3
PATIENCE_S = 300.0
"""After that the act has failed."""
ACTOR = audit.Actor("demo", audit.Channel.CLI)


async def rescue(lab: Lab, office: Office, handle: str, console: Console) -> bool:
    """Deploy a service to the server (real hosts only), pull its plug, and show the incident until it is resolved."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _rescue(lab, office, handle, console)
    except TimeoutError:
        console.print(f"  {handle} did not come back within {PATIENCE_S:.0f} s.", style="bold red")
        return False


async def _rescue(lab: Lab, office: Office, handle: str, console: Console) -> bool:
    server_id = server_id_of(handle)
    host = lab.cloud.host(server_id)
    console.print(f"\nNow a night in the life of {handle}.")
    await _until(office, lambda session: _is_watched(session, handle))
    url = ""
    if isinstance(host, NspawnHost):
        await make_web_image(host)
        service = await _deploy(office, handle)
        url = f"http://{host.address}:{service.port}/"
        await _until_it_says_hello(url)
        console.print(f"  A service is deployed on it and answers: {url}", soft_wrap=True)
    await lab.cloud.power_off(server_id)
    console.print("  Its power fails: the plug is pulled, and nobody tells Lazaret.", style="bold")
    incident = await _follow(office, handle, console)
    if url:
        await _until_it_says_hello(url)
        console.print(f"  The service answers again: {url}", style="green", soft_wrap=True)
    found_s = (incident.detected_at - incident.began_at).total_seconds()
    assert incident.resolved_at is not None
    healed_s = (incident.resolved_at - incident.detected_at).total_seconds()
    console.print(
        f"  Incident {incident.id} is resolved: confirmed {found_s:.0f} s after the last sign of life, "
        f"healed {healed_s:.0f} s later.",
        style="green",
        soft_wrap=True,
    )
    return True


async def _deploy(office: Office, handle: str) -> ServiceDeployment:
    spec = ServiceSpec(
        image=WEB_IMAGE, command=WEB_COMMAND, container_port=WEB_PORT, health=HttpCheck(), memory_mb=16, disk_mb=16
    )
    order = Order("demo", "hello", spec, handle)
    async with office.db.transaction() as session:
        made, operation = await harbour_of(office).deploy(session, order, ACTOR, at=office.clock.now())

    async def ended(session: AsyncSession) -> bool:
        return OperationStatus((await get_operation(session, operation.id)).status) not in LIVE

    await _until(office, ended)
    return made


async def _follow(office: Office, handle: str, console: Console) -> Incident:
    """Print the timeline as it is written, with the seconds since the plug was pulled, until it is resolved."""
    pulled_at, after = time.monotonic(), 0
    while True:
        async with office.db.transaction() as session:
            found = select(Incident).where(Incident.server_handle == handle).order_by(Incident.id)
            incidents = list(await session.scalars(found))
            lines = await session.scalars(
                select(TimelineEntry)
                .where(TimelineEntry.incident_id.in_([row.id for row in incidents]), TimelineEntry.id > after)
                .order_by(TimelineEntry.id)
            )
            for line in lines:
                after = line.id
                passed = f"+{time.monotonic() - pulled_at:.0f} s"
                console.print(f"  {passed:>7}  {line.message}", markup=False, soft_wrap=True)
        if incidents and all(row.status == IncidentStatus.RESOLVED for row in incidents):
            return incidents[0]
        await asyncio.sleep(LOOK_S)


async def _is_watched(session: AsyncSession, handle: str) -> bool:
    """Whether a monitor sees the server well and has measured it."""
    seen = select(ServerHealth.read_at).where(
        ServerHealth.server_handle == handle, ServerHealth.phase == Phase.WELL.value
    )
    return await session.scalar(seen) is not None


async def _until(office: Office, holds: Callable[[AsyncSession], Awaitable[bool]]) -> None:
    while True:
        async with office.db.transaction() as session:
            if await holds(session):
                return
        await asyncio.sleep(LOOK_S)


async def _until_it_says_hello(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while True:
            try:
                if (await client.get(url)).text.strip() == WEB_SAYS:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(LOOK_S)
