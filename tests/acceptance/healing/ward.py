"""What a test does with real hosts that are watched and healed: trouble them, wait, and hear their services."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import HttpCheck, ServiceSpec
from lazaret.entrypoints.harbour import harbour_of
from lazaret.entrypoints.office import Office
from lazaret.healing.model import Approval, Decision, RemedyRun
from lazaret.healing.requests import Infirmary
from lazaret.incidents.model import Incident, IncidentStatus
from lazaret.kernel.errors import Conflict
from lazaret.lab.commands import CommandFailed
from lazaret.lab.images import WEB_COMMAND, WEB_IMAGE, WEB_PORT, make_web_image
from lazaret.lab.journal import Entry
from lazaret.lab.nspawn import NspawnHost
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.operations.intents import OperationInProgress
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.operations.store import get_operation
from lazaret.servers.status import ServerStatus
from tests.healing_scene import OPERATOR, Scene

ON_REAL_HOSTS = [
    pytest.mark.real_host,
    pytest.mark.skipif(bool(missing_for_real_hosts()), reason="; ".join(missing_for_real_hosts())),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]


def web(**changes: object) -> ServiceSpec:
    """A web server that says hello."""
    given: dict[str, object] = {
        "image": WEB_IMAGE,
        "command": WEB_COMMAND,
        "container_port": WEB_PORT,
        "health": HttpCheck(timeout_s=20),
        "memory_mb": 16,
        "disk_mb": 16,
    }
    return ServiceSpec(**{**given, **changes})  # type: ignore[arg-type]


@dataclass
class Ward:
    """The scene, and what a test on real hosts does with it."""

    scene: Scene

    @property
    def handles(self) -> list[str]:
        return self.scene.handles()

    def host(self, handle: str) -> NspawnHost:
        host = self.scene.lab.cloud.host(int(handle.rpartition("-")[2]))
        assert isinstance(host, NspawnHost)
        return host

    def reboots(self, handle: str) -> list[Entry]:
        """Those that the provider was asked for and did."""
        wanted = self.host(handle).handle_id
        return self.scene.lab.journal.entries(kind="effect", action="reboot", server_id=wanted)

    async def inside(self, handle: str, script: str, *, timeout_s: float = 60) -> str:
        """Run on the host itself, without SSH."""
        return await self.host(handle).run_inside("sh", "-c", script, timeout_s=timeout_s)

    async def deploy(self, handle: str, name: str, spec: ServiceSpec) -> tuple[ServiceDeployment, Operation]:
        """Deploy and wait for the end."""
        office = self.scene.office
        async with office.db.transaction() as session:
            order = Order("shop", name, spec, handle)
            deployment, operation = await harbour_of(office).deploy(session, order, OPERATOR, at=office.clock.now())
        return deployment, await self.ended(operation.id)

    async def act(self, deployment_id: int, action: str) -> Operation:
        """Ask for it, once nobody else is at work on the server, and wait for its end."""
        office, made = self.scene.office, []

        async def taken() -> bool:
            with suppress(OperationInProgress):
                async with office.db.transaction() as session:
                    harbour = harbour_of(office)
                    made.append(await harbour.act(session, deployment_id, action, OPERATOR, at=office.clock.now()))
            return bool(made)

        await self.scene.until(f"{action} is taken", taken)
        return await self.ended(made[0].id)

    async def ended(self, operation_id: int) -> Operation:
        async def over() -> bool:
            return OperationStatus((await self._operation(operation_id)).status) not in LIVE

        await self.scene.until(f"operation {operation_id} has ended", over, timeout_s=120)
        return await self._operation(operation_id)

    async def _operation(self, operation_id: int) -> Operation:
        async with self.scene.office.db.transaction() as session:
            return await get_operation(session, operation_id)

    async def services(self, handle: str) -> list[ServiceDeployment]:
        statement = select(ServiceDeployment).where(ServiceDeployment.server_handle == handle)
        return await self.scene.rows(statement)

    async def says(self, handle: str, port: int, *, patience_s: float = 2) -> str:
        """What the service says to somebody outside; empty when nobody answers."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=patience_s) as client:
                return (await client.get(f"http://{self.host(handle).address}:{port}/")).text.strip()
        except httpx.HTTPError:
            return ""

    async def until_says(self, handle: str, port: int, text: str, *, timeout_s: float = 30) -> None:
        async def right() -> bool:
            return await self.says(handle, port) == text

        await self.scene.until(f"{handle}:{port} says {text!r}", right, timeout_s=timeout_s)

    async def remedies_for(self, incident_id: int) -> list[str]:
        statement = select(RemedyRun).where(RemedyRun.incident_id == incident_id).order_by(RemedyRun.id)
        return [f"{row.remedy} {row.outcome}" for row in await self.scene.rows(statement)]

    async def image_when_docker_is_there(self, handle: str) -> None:
        """The lab has no registry: a host that is made anew gets its image as soon as it can take one."""

        async def made() -> bool:
            try:
                await self.inside(handle, "docker info >/dev/null 2>&1 && test ! -e /run/lazaret/packages.new")
                await make_web_image(self.host(handle))
            except (CommandFailed, Conflict):
                return False
            return True

        await self.scene.until("the fresh host has an image", made, timeout_s=150)

    @asynccontextmanager
    async def patient_remedies(self) -> AsyncIterator[None]:
        """Meanwhile a worker is at work whose remedies get five times their usual patience instead of 40 % of it."""
        hasty = self.scene.office
        settings = hasty.settings.model_copy(update={"lazaret_remedy_patience": 5.0})
        try:
            await self._change_worker(replace(hasty, settings=settings))
            yield
        finally:
            await self._change_worker(hasty)

    async def _change_worker(self, office: Office) -> None:
        await self.scene.end("worker")
        self.scene.office = office
        self.scene.begin("worker")

    async def settle(self) -> None:
        """Everything is in order again, and nobody is at work."""
        live = select(Operation.id).where(Operation.status.in_([status.value for status in LIVE]))

        async def at_rest() -> bool:
            return await self.scene.rows(live) == []

        await self.scene.until_watched(timeout_s=60)
        await self.scene.until("nobody is at work", at_rest)


async def serving(ward: Ward, index: int = 0) -> tuple[str, int]:
    """A server with its service, deployed by the first test that asks."""
    handle = ward.handles[index]
    rows = await ward.services(handle)
    if rows:
        return handle, rows[0].port
    deployment, operation = await ward.deploy(handle, "web", web())
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    return handle, deployment.port


async def healed(
    ward: Ward, handle: str, port: int, *, incident_id: int | None = None, timeout_s: float = 90
) -> list[str]:
    """Wait until all is well again and the service answers; returns what was done for this incident, or the newest."""
    await ward.scene.until_resolved(handle, timeout_s=timeout_s)
    await ward.until_says(handle, port, "hello")
    assert (await ward.scene.server(handle)).status == ServerStatus.IN_USE
    await ward.settle()
    incident = [row for row in await ward.scene.incidents(handle) if incident_id in (None, row.id)][-1]
    done = await ward.remedies_for(incident.id)
    note_times(incident, done)
    return done


def note_times(incident: Incident, done: list[str]) -> None:
    """For `make bench-recover`: how long this scenario took, appended to the file that it names."""
    path = os.environ.get("LAZARET_TEST_RECOVERY_TIMES")
    if path is None or incident.resolved_at is None:
        return
    line = {
        "scenario": os.environ.get("PYTEST_CURRENT_TEST", "").partition("::test_")[2].partition(" ")[0],
        "cause": incident.cause,
        "found_s": round((incident.detected_at - incident.began_at).total_seconds(), 1),
        "recovered_s": round((incident.resolved_at - incident.detected_at).total_seconds(), 1),
        "done": done,
    }
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


async def trouble(ward: Ward, handle: str, *, timeout_s: float = 60) -> Incident:
    """Wait until an incident is open; returns it."""

    async def is_open() -> bool:
        rows = await ward.scene.incidents(handle)
        return bool(rows) and rows[-1].status != IncidentStatus.RESOLVED

    await ward.scene.until(f"an incident of {handle} is open", is_open, timeout_s=timeout_s)
    return (await ward.scene.incidents(handle))[-1]


async def answer(ward: Ward, handle: str, remedy: str, decision: Decision) -> None:
    """Answer the question about a server as soon as it is asked."""
    question = select(Approval).where(Approval.server_handle == handle, Approval.decision.is_(None))

    office = ward.scene.office

    async def answered() -> bool:
        rows = await ward.scene.rows(question)
        if not rows:
            return False
        assert rows[0].remedy == remedy, rows[0].why
        try:
            async with office.db.transaction() as session:
                await Infirmary(office.intents).decide(session, rows[0].id, decision, OPERATOR, at=office.clock.now())
        except Conflict:  # the trouble changed in this moment: it is asked again
            return False
        return True

    await ward.scene.until("approval is asked and answered", answered, timeout_s=90)
