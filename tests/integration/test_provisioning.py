"""The contract of the whole, to be read from top to bottom: what Lazaret promises of a server, from rented to healed.

Worker and monitor are real, the database is PostgreSQL, the provider is the lab's API over HTTP, hosts simulated.
One fleet of two for all, in this order; each test leaves it well. What the provider may answer is held by
`faults/test_provider_faults.py`, that data goes only after a yes by `healing/test_recovery.py`.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lazaret.lab.calls import Call
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests import provisioning_story as story
from tests.healing_scene import Scene, scene_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with scene_of(2) as made:
        yield made


# --- the full cycle


async def test_a_new_managed_server_is_found_and_set_up_by_itself(scene: Scene) -> None:
    for handle in scene.handles():
        (operation,) = await scene.operations(handle)
        assert (operation.kind, operation.status) == ("provision", OperationStatus.SUCCEEDED), await scene.story()
        assert (await scene.server(handle)).status == ServerStatus.READY


async def test_setting_up_resets_the_password_once_and_reinstalls_nothing(scene: Scene) -> None:
    for handle in scene.handles():
        assert story.asked_of_provider(scene, handle, Call.RESET_PASSWORD) == 1
        assert "reinstall" not in story.effects_on(scene, handle)


async def test_a_forced_rebuild_reinstalls_once_and_ends_ready(scene: Scene) -> None:
    server, other = scene.handles()
    operation = await story.until_over(scene, await story.set_up_anew(scene, server))
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert (await scene.server(server)).status == ServerStatus.READY
    assert story.asked_of_provider(scene, server, Call.REINSTALL) == 1
    assert story.asked_of_provider(scene, other, Call.REINSTALL) == 0, "nobody else is touched"


# --- the health check, and the recovery


async def test_a_lost_server_is_noticed_confirmed_and_healed_by_the_gentlest_rung(scene: Scene) -> None:
    lost, other = scene.handles()
    await scene.until_watched()
    await story.lose_power(scene, lost)
    incident = await scene.until_resolved(lost)
    assert incident.incident_type == "server_unreachable"
    assert (await scene.remedies(lost))[-1] == "reboot helped", await scene.story()
    assert story.asked_of_provider(scene, lost, Call.REINSTALL) == 1, "the one that somebody ordered above"
    assert (await scene.server(lost)).status == ServerStatus.READY
    assert await scene.incidents(other) == [], "the healthy one is left alone"


# --- what runs there


async def test_a_forced_rebuild_brings_back_what_ran_there(scene: Scene) -> None:
    server, _ = scene.handles()
    await scene.until_watched()
    deployed = await story.until_over(scene, await story.serve(scene, server))
    assert deployed.status == OperationStatus.SUCCEEDED, deployed.error
    rebuilt = await story.until_over(scene, await story.set_up_anew(scene, server))
    assert rebuilt.status == OperationStatus.SUCCEEDED, rebuilt.error
    assert rebuilt.result["services_redeployed"] == ["web"]
    assert story.runs_on(scene, server), "the fresh system runs it"
    assert (await scene.server(server)).status == ServerStatus.IN_USE
    assert any("Services redeployed: 1" in message for message in await scene.messages())


# --- and who hears of it


async def test_the_operator_is_told(scene: Scene) -> None:
    lost, other = scene.handles()
    told = await scene.messages()
    assert any(lost in message for message in told) and not any("unreachable" in m and other in m for m in told), told
