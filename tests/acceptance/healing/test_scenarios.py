"""What can happen to a real server at night, each ending with its service answering from outside. In this order.

Two servers run a service each; a third stays idle, so that two lost ones are not all. Each test leaves all well.
"""

import pytest
from sqlalchemy import select

from lazaret.healing import requests
from lazaret.healing.model import Approval, Decision
from lazaret.healing.requests import Infirmary
from lazaret.incidents.model import IncidentStatus
from lazaret.lab.calls import Call
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.acceptance.healing.conftest import MAKE_IMAGE, Ward, web
from tests.healing_scene import OPERATOR

MISSING = missing_for_real_hosts()
pytestmark = [
    pytest.mark.real_host,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]


async def serving(ward: Ward, index: int = 0) -> tuple[str, int]:
    """A server with its service, deployed by the first test that asks."""
    handle = ward.handles[index]
    rows = await ward.services(handle)
    if rows:
        return handle, rows[0].port
    deployment, operation = await ward.deploy(handle, "web", web())
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    return handle, deployment.port


async def healed(ward: Ward, handle: str, port: int, *, timeout_s: float = 90) -> list[str]:
    """Wait until all is well again; returns what was done since the last time, and that the service answers."""
    await ward.scene.until_resolved(handle, timeout_s=timeout_s)
    await ward.until_says(handle, port, "hello")
    assert (await ward.scene.server(handle)).status == ServerStatus.IN_USE
    await ward.settle()
    incident = (await ward.scene.incidents(handle))[-1]
    return await ward.remedies_for(incident.id)


async def trouble(ward: Ward, handle: str, *, timeout_s: float = 60) -> None:
    """Wait until an incident is open."""

    async def is_open() -> bool:
        rows = await ward.scene.incidents(handle)
        return bool(rows) and rows[-1].status != IncidentStatus.RESOLVED

    await ward.scene.until(f"an incident of {handle} is open", is_open, timeout_s=timeout_s)


async def test_power_lost_and_back_by_a_reboot_call(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)
    await trouble(ward, handle)
    assert (await healed(ward, handle, port))[-1] == "reboot helped"


async def test_power_lost_and_back_by_itself(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)
    await trouble(ward, handle)
    await ward.scene.lab.cloud.power_on(ward.host(handle).handle_id)
    assert "reboot helped" not in await healed(ward, handle, port)


async def test_docker_stopped(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.inside(handle, "systemctl stop docker.socket docker.service")
    await trouble(ward, handle)
    assert await healed(ward, handle, port) == ["restart_docker helped"]


async def test_a_container_crashed(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.inside(handle, "docker update --restart=no web-web-1; docker kill web-web-1")
    await trouble(ward, handle)
    assert await healed(ward, handle, port) == ["restart_service helped"]


async def test_a_disk_full_of_logs(ward: Ward) -> None:
    handle, port = await serving(ward)
    fill = "free=$(df --output=avail -k / | tail -n 1); fallocate -l $((free * 98 / 100))k /var/log/noise.log"
    await ward.inside(handle, fill)
    await trouble(ward, handle)
    assert await healed(ward, handle, port) == ["free_disk helped"]


async def test_sshd_dead_while_its_service_answers_is_not_rebooted_without_a_word(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.inside(handle, "systemctl stop ssh.socket ssh.service 2>/dev/null; systemctl mask --runtime ssh.service")
    await trouble(ward, handle)
    await answer(ward, handle, "reboot", Decision.APPROVED)
    assert (await healed(ward, handle, port)) == ["flush_firewall no_effect", "reboot helped"]


async def test_a_firewall_locks_us_out(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.inside(handle, "iptables -w -I INPUT 1 -p tcp --dport 22 -j DROP")
    await trouble(ward, handle)
    assert await healed(ward, handle, port) == ["flush_firewall helped", "provision_again helped"]
    rules = await ward.inside(handle, "iptables -w -S INPUT; iptables -w -S DOCKER-USER")
    assert "-P INPUT DROP" in rules and "-A DOCKER-USER -j DROP" in rules, "the firewall is back"


async def test_hung(ward: Ward) -> None:
    handle, port = await serving(ward)
    ward.host(handle).freeze()
    await trouble(ward, handle)
    assert (await healed(ward, handle, port))[-1] == "reboot helped"


async def test_a_strangers_host_key(ward: Ward) -> None:
    handle, port = await serving(ward)
    keep = "mkdir /root/keys && mv /etc/ssh/ssh_host_* /root/keys/ && ssh-keygen -A -q && systemctl restart ssh"
    await ward.inside(handle, keep)

    async def handed_over() -> bool:
        rows = await ward.scene.incidents(handle)
        return (rows[-1].incident_type, rows[-1].status) == ("host_key_changed", IncidentStatus.FAILED)

    await ward.scene.until("handed over", handed_over)
    assert await ward.remedies_for((await ward.scene.incidents(handle))[-1].id) == []
    await ward.inside(handle, "mv /root/keys/* /etc/ssh/ && rmdir /root/keys && systemctl restart ssh")
    await healed(ward, handle, port)


async def test_maintenance_and_freeze_hold(ward: Ward) -> None:
    handle, port = await serving(ward)
    office = ward.scene.office
    async with office.db.transaction() as session:
        frozen = await requests.hold(session, None, OPERATOR, at=office.clock.now(), reason="a drill")
    await ward.inside(handle, "systemctl stop docker.socket docker.service")
    await trouble(ward, handle)

    async def told() -> bool:
        return "a drill" in await ward.scene.story()

    await ward.scene.until("why nothing is done is told", told)
    incident = (await ward.scene.incidents(handle))[-1]
    assert await ward.remedies_for(incident.id) == []
    async with office.db.transaction() as session:
        await requests.lift(session, frozen.id, OPERATOR, at=office.clock.now())
    assert await healed(ward, handle, port) == ["restart_docker helped"]


async def test_a_wiped_system_is_reinstalled_after_a_yes_and_its_service_is_back(ward: Ward) -> None:
    handle, port = await serving(ward)
    cloud = ward.scene.lab.cloud
    server_id = ward.host(handle).handle_id
    cloud.order(Call.REINSTALL, server_id, {"os": cloud.server(server_id).os})
    await answer(ward, handle, "reinstall", Decision.DENIED)

    async def handed_over() -> bool:
        return (await ward.scene.incidents(handle))[-1].status == IncidentStatus.FAILED

    await ward.scene.until("denied and handed over", handed_over)
    incident = (await ward.scene.incidents(handle))[-1]
    assert await ward.remedies_for(incident.id) == []
    office = ward.scene.office
    async with office.db.transaction() as session:
        await Infirmary(office.intents).recover(session, incident.id, OPERATOR, at=office.clock.now())
    await answer(ward, handle, "reinstall", Decision.APPROVED)
    await ward.image_when_docker_is_there(handle, MAKE_IMAGE)
    assert (await healed(ward, handle, port, timeout_s=200))[-1] == "reinstall helped"


async def answer(ward: Ward, handle: str, remedy: str, decision: Decision) -> None:
    """Answer the question about a server as soon as it is asked."""
    question = select(Approval).where(Approval.server_handle == handle, Approval.decision.is_(None))

    async def asked() -> bool:
        return bool(await ward.scene.rows(question))

    await ward.scene.until("approval is asked", asked, timeout_s=90)
    (approval,) = await ward.scene.rows(question)
    assert approval.remedy == remedy, approval.why
    office = ward.scene.office
    async with office.db.transaction() as session:
        infirmary = Infirmary(office.intents)
        await infirmary.decide(session, approval.id, decision, OPERATOR, at=office.clock.now())
