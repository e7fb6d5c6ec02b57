"""Recovery from end to end on simulated hosts: what is lost comes back, by the gentlest rung that helps, or by word.

One fleet for all, in this order; each test leaves it well.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import asyncssh
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import select

from lazaret.healing import requests
from lazaret.healing.model import Approval, Decision
from lazaret.healing.requests import Infirmary
from lazaret.incidents.model import IncidentStatus
from lazaret.lab.calls import Call
from lazaret.lab.simulated import SimulatedHost
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.healing_scene import OPERATOR, Scene, scene_of

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    async with scene_of(4) as made:
        yield made


def host_of(scene: Scene, handle: str) -> SimulatedHost:
    host = scene.lab.cloud.host(int(handle.removeprefix("vps-")))
    assert isinstance(host, SimulatedHost)
    return host


def acts(scene: Scene, handle: str) -> list[str]:
    """What the provider was asked to do to a server, by the lab's own journal."""
    wanted = int(handle.removeprefix("vps-"))
    return [str(entry.action) for entry in scene.lab.journal.entries(kind="effect", server_id=wanted)]


async def test_power_lost_is_noticed_and_a_reboot_brings_it_back(scene: Scene) -> None:
    lost, *others = scene.handles()
    await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
    incident = await scene.until_resolved(lost)
    assert (incident.incident_type, incident.cause) == ("server_unreachable", "silent")
    assert await scene.remedies(lost) == ["flush_firewall no_effect", "reboot helped"], await scene.story()
    assert (await scene.server(lost)).status == ServerStatus.READY
    # How soon on an idle machine: tests/unit/probing/test_detection.py. This bounds the way from there to the table.
    assert timedelta(0) < incident.detected_at - incident.began_at < timedelta(seconds=60)
    assert [await scene.incidents(other) for other in others] == [[], [], []], "nothing healthy is touched"
    await scene.until_watched()


async def test_a_server_that_comes_back_while_its_recovery_waits_is_left_alone(scene: Scene) -> None:
    lost = scene.handles()[1]
    async with scene.office.db.transaction() as session:
        frozen = await requests.hold(session, None, OPERATOR, at=scene.office.clock.now(), reason="a drill")
    await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
    await scene.until_status(lost, ServerStatus.ERROR)
    assert await scene.remedies(lost) == []
    await scene.lab.cloud.power_on(host_of(scene, lost).handle_id)
    incident = await scene.until_resolved(lost, timeout_s=40)
    assert await scene.remedies(lost) == [], "nothing was done to a server that came back by itself"
    assert incident.recovery_attempts == 0
    assert (await scene.server(lost)).status == ServerStatus.READY
    async with scene.office.db.transaction() as session:
        await requests.lift(session, frozen.id, OPERATOR, at=scene.office.clock.now())
    await scene.until_watched()


async def test_a_freeze_holds_and_its_end_lets_the_recovery_begin(scene: Scene) -> None:
    lost = scene.handles()[2]
    async with scene.office.db.transaction() as session:
        frozen = await requests.hold(session, lost, OPERATOR, at=scene.office.clock.now(), reason="being moved")
    await scene.lab.cloud.power_off(host_of(scene, lost).handle_id)
    await scene.until_status(lost, ServerStatus.ERROR)

    async def told() -> bool:
        return "on hold" in await scene.story()

    await scene.until("the reason is told", told)
    assert await scene.remedies(lost) == []
    async with scene.office.db.transaction() as session:
        await requests.lift(session, frozen.id, OPERATOR, at=scene.office.clock.now())
    await scene.until_resolved(lost)
    assert (await scene.remedies(lost))[-1] == "reboot helped"
    await scene.until_watched()


async def test_our_key_is_gone_and_a_password_reset_brings_it_back_without_a_reboot(scene: Scene) -> None:
    lost = scene.handles()[3]
    host = host_of(scene, lost)
    host.state.files.clear()
    host.state.converged.clear()
    host.state.password_login = True
    host.restart_ssh()
    await scene.until_resolved(lost)
    assert await scene.remedies(lost) == ["provision_again helped"], await scene.story()
    assert "reboot" not in acts(scene, lost) and "reinstall" not in acts(scene, lost)
    await scene.until_watched()


async def test_a_strangers_host_key_is_a_security_incident_and_nothing_is_done(scene: Scene) -> None:
    lost = scene.handles()[1]
    host = host_of(scene, lost)
    ours = host.state.host_key
    host.state.host_key = SecretStr(asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode())
    host.restart_ssh()

    async def handed_over() -> bool:
        rows = await scene.incidents(lost)
        return rows[-1].incident_type == "host_key_changed" and rows[-1].status == IncidentStatus.FAILED

    await scene.until("handed over", handed_over)
    assert await scene.remedies(lost) == []
    assert any("needs a person" in text for text in await scene.messages())
    host.state.host_key = ours
    host.restart_ssh()
    await scene.until_resolved(lost)
    assert (await scene.server(lost)).status == ServerStatus.READY
    await scene.until_watched()


async def test_a_system_that_was_wiped_is_reinstalled_only_after_a_yes(scene: Scene) -> None:
    lost = scene.handles()[0]
    server_id = host_of(scene, lost).handle_id
    scene.lab.cloud.order(Call.REINSTALL, server_id, {"os": scene.lab.rack.templates[0].os})
    await _answer(scene, lost, Decision.DENIED)

    async def handed_over() -> bool:
        return (await scene.incidents(lost))[-1].status == IncidentStatus.FAILED

    await scene.until("denied and handed over", handed_over)
    assert acts(scene, lost).count("reinstall") == 1, "the stranger's own"
    incident = (await scene.incidents(lost))[-1]
    async with scene.office.db.transaction() as session:
        infirmary = Infirmary(scene.office.intents)
        await infirmary.recover(session, incident.id, OPERATOR, at=scene.office.clock.now())
    await _answer(scene, lost, Decision.APPROVED)
    await scene.until_resolved(lost, timeout_s=90)
    assert acts(scene, lost).count("reinstall") == 2
    assert (await scene.remedies(lost))[-1] == "reinstall helped"

    async def ended() -> bool:  # a moment after its incident
        return (await scene.operations(lost))[-1].status == OperationStatus.SUCCEEDED

    await scene.until("the recovery has ended", ended)
    await scene.until_watched()


async def _answer(scene: Scene, handle: str, decision: Decision) -> None:
    """Answer the question about a server as soon as it is asked."""
    question = select(Approval).where(Approval.server_handle == handle, Approval.decision.is_(None))

    async def asked() -> bool:
        return bool(await scene.rows(question))

    await scene.until("approval is asked", asked)
    (approval,) = await scene.rows(question)
    assert approval.remedy == "reinstall"
    async with scene.office.db.transaction() as session:
        now = scene.office.clock.now()
        await Infirmary(scene.office.intents).decide(session, approval.id, decision, OPERATOR, at=now)
