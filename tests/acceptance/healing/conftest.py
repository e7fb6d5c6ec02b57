"""Real Debian hosts, watched and healed, with a service each that must answer from outside in the end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest_asyncio
from sqlalchemy import select

from lazaret.deployments.model import ServiceDeployment
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import HttpCheck, ServiceSpec
from lazaret.entrypoints.harbour import harbour_of
from lazaret.healing.model import RemedyRun
from lazaret.kernel.errors import Conflict
from lazaret.lab.commands import CommandFailed
from lazaret.lab.nspawn import NspawnHost
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.operations.store import get_operation
from tests.healing_scene import OPERATOR, Scene, scene_of

IMAGE = "test/web:1"
MAKE_IMAGE = f"""set -eu
docker image inspect {IMAGE} >/dev/null 2>&1 && exit 0
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/; ln -sf busybox /tmp/image/bin/sh
echo hello > /tmp/image/www/index.html
tar -C /tmp/image -c . | docker import - {IMAGE} >/dev/null
"""


def web(**changes: object) -> ServiceSpec:
    """A web server that says hello."""
    given: dict[str, object] = {
        "image": IMAGE,
        "command": ("/bin/busybox", "httpd", "-f", "-p", "9000", "-h", "/www"),
        "container_port": 9000,
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
        host = self.scene.lab.cloud.host(int(handle.removeprefix("vps-")))
        assert isinstance(host, NspawnHost)
        return host

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
        office = self.scene.office
        async with office.db.transaction() as session:
            operation = await harbour_of(office).act(session, deployment_id, action, OPERATOR, at=office.clock.now())
        return await self.ended(operation.id)

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

    async def says(self, handle: str, port: int) -> str:
        """What the service says to somebody outside; empty when nobody answers."""
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
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

    async def image_when_docker_is_there(self, handle: str, script: str) -> None:
        """The lab has no registry: a host that is made anew gets its image as soon as it can take one."""

        async def docker_answers() -> bool:
            try:
                await self.inside(handle, "docker info >/dev/null 2>&1 && test ! -e /run/lazaret/packages.new")
            except (CommandFailed, Conflict):
                return False
            return True

        await self.scene.until("Docker runs on the fresh host", docker_answers, timeout_s=120)
        await self.inside(
            handle, f"for i in 1 2 3 4 5 6; do ( {script} ) && exit 0; sleep 5; done; exit 1", timeout_s=120
        )

    async def settle(self) -> None:
        """Everything is in order again."""
        await self.scene.until_watched(timeout_s=60)
        await asyncio.sleep(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward() -> AsyncIterator[Ward]:
    """Three servers, the first two with a service that answers."""
    async with scene_of(3, simulated=False, LAZARET_REMEDY_PATIENCE="0.4") as scene:
        made = Ward(scene)
        for handle in made.handles[:2]:
            await made.inside(handle, MAKE_IMAGE, timeout_s=120)
        yield made
