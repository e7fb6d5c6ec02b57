"""What the contract of the whole says, as verbs on a scene: order, break, and what the provider was asked."""

from collections.abc import Sequence

from sqlalchemy import select

from lazaret.deployments.requests import Order
from lazaret.deployments.spec import ServiceSpec
from lazaret.entrypoints.harbour import harbour_of
from lazaret.lab.calls import Call
from lazaret.lab.simulated import SimulatedHost
from lazaret.operations.model import LIVE, Operation, OperationStatus
from tests.healing_scene import OPERATOR, Scene


def number_of(handle: str) -> int:
    """The provider's id of a server."""
    return int(handle.rpartition("-")[2])


def asked_of_provider(scene: Scene, handle: str, call: Call) -> int:
    """How many such orders the provider took for this server, by the lab's own journal."""
    entries = scene.lab.journal.entries(kind="call", action=call.value, outcome="accepted")
    return sum(entry.server_id == number_of(handle) for entry in entries)


def effects_on(scene: Scene, handle: str) -> Sequence[str]:
    """What the provider did to a server."""
    return [str(one.action) for one in scene.lab.journal.entries(kind="effect", server_id=number_of(handle))]


async def set_up_anew(scene: Scene, handle: str, *, reinstall: bool = True) -> int:
    """Somebody orders the plan's `force_rebuild`; returns the operation's id."""
    async with scene.office.db.transaction() as session:
        now = scene.office.clock.now()
        made = await scene.office.desk.rebuild(session, handle, OPERATOR, at=now, reinstall=reinstall)
        return made.id


async def until_over(scene: Scene, operation_id: int) -> Operation:
    """The operation, once it has succeeded, failed, or was cancelled."""

    async def found() -> Operation:
        return (await scene.rows(select(Operation).where(Operation.id == operation_id)))[0]

    async def over() -> bool:
        return OperationStatus((await found()).status) not in LIVE

    await scene.until(f"operation {operation_id} is over", over)
    return await found()


async def serve(scene: Scene, handle: str) -> int:
    """Somebody deploys `shop/web` to it; returns the operation's id."""
    spec = ServiceSpec.model_validate({"image": "nginx:1.29", "container_port": 80})
    async with scene.office.db.transaction() as session:
        order = Order("shop", "web", spec, handle)
        _, operation = await harbour_of(scene.office).deploy(session, order, OPERATOR, at=scene.office.clock.now())
        return operation.id


def runs_on(scene: Scene, handle: str) -> list[str]:
    """The services that run on the machine itself."""
    host = scene.lab.cloud.host(number_of(handle))
    assert isinstance(host, SimulatedHost)
    return [service.name for service in host.state.services.values() if service.runs]


async def lose_power(scene: Scene, handle: str) -> None:
    await scene.lab.cloud.power_off(number_of(handle))
