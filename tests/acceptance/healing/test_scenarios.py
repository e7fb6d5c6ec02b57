"""What can happen to a real server at night, each ending with its service answering from outside. In this order.

Each test leaves all well. They share three servers so that none is lost so often that it counts as flapping.
"""

from lazaret.healing import requests
from lazaret.healing.model import Decision
from lazaret.healing.requests import Infirmary
from lazaret.incidents.model import IncidentStatus
from lazaret.lab.calls import Call
from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, answer, healed, serving, trouble
from tests.healing_scene import OPERATOR

SERVERS = 3
pytestmark = ON_REAL_HOSTS


async def test_power_lost_and_back_by_a_reboot_call(ward: Ward) -> None:
    handle, port = await serving(ward)
    await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)
    await trouble(ward, handle)
    assert (await healed(ward, handle, port))[-1] == "reboot helped"


async def test_power_lost_and_back_by_itself(ward: Ward) -> None:
    """Its recovery is free to act all the while. What it has begun may take as long as a slow boot, so that a reboot
    would come from a plan that goes on although its trouble is over, and not from impatience."""
    handle, port = await serving(ward)
    before = len(ward.reboots(handle))
    async with ward.patient_remedies():
        await ward.scene.lab.cloud.power_off(ward.host(handle).handle_id)
        await trouble(ward, handle)
        await ward.scene.lab.cloud.power_on(ward.host(handle).handle_id)
        assert "reboot helped" not in await healed(ward, handle, port)
    assert len(ward.reboots(handle)) == before, await ward.scene.story()


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
    handle, port = await serving(ward, 1)
    await ward.inside(handle, "systemctl stop ssh.socket ssh.service 2>/dev/null; systemctl mask --runtime ssh.service")
    await trouble(ward, handle)
    await answer(ward, handle, "reboot", Decision.APPROVED)
    assert (await healed(ward, handle, port)) == ["flush_firewall no_effect", "reboot helped"]


async def test_a_firewall_locks_us_out(ward: Ward) -> None:
    handle, port = await serving(ward, 2)
    await ward.inside(handle, "iptables -w -I INPUT 1 -p tcp --dport 22 -j DROP")
    incident = await trouble(ward, handle)
    await healed(ward, handle, port)  # meanwhile the monitor may find the flushed firewall, an incident of its own
    assert await ward.remedies_for(incident.id) == ["flush_firewall helped", "provision_again helped"]
    rules = await ward.inside(handle, "iptables -w -S INPUT; iptables -w -S DOCKER-USER")
    assert "-P INPUT DROP" in rules and "-A DOCKER-USER -j DROP" in rules, "the firewall is back"


async def test_hung(ward: Ward) -> None:
    handle, port = await serving(ward, 2)
    await ward.scene.lab.cloud.inflict(ward.host(handle).handle_id, "hang")
    await trouble(ward, handle)
    assert (await healed(ward, handle, port))[-1] == "reboot helped"


async def test_a_strangers_host_key(ward: Ward) -> None:
    handle, port = await serving(ward, 2)
    keep = "mkdir /root/keys && mv /etc/ssh/ssh_host_* /root/keys/ && ssh-keygen -A -q && systemctl restart ssh"
    # The stream that is open is still proved by the old key: only who comes anew meets the stranger.
    await ward.inside(handle, f"{keep}; pkill -x sshd-session")

    async def handed_over() -> bool:
        rows = await ward.scene.incidents(handle)
        return [(row.incident_type, row.status) for row in rows[-1:]] == [("host_key_changed", IncidentStatus.FAILED)]

    await ward.scene.until("handed over", handed_over)
    assert await ward.remedies_for((await ward.scene.incidents(handle))[-1].id) == []
    await ward.inside(handle, "mv /root/keys/* /etc/ssh/ && rmdir /root/keys && systemctl restart ssh")
    await healed(ward, handle, port)


async def test_maintenance_and_freeze_hold(ward: Ward) -> None:
    handle, port = await serving(ward, 1)
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
        return [row.status for row in (await ward.scene.incidents(handle))[-1:]] == [IncidentStatus.FAILED]

    await ward.scene.until("denied and handed over", handed_over)
    incidents = [row for row in await ward.scene.incidents(handle) if row.status == IncidentStatus.FAILED]
    done = [remedy for row in incidents for remedy in await ward.remedies_for(row.id)]
    assert set(done) <= {"flush_firewall no_effect"}, "nothing but what is harmless was tried while it was silent"
    incident = incidents[-1]
    office = ward.scene.office
    async with office.db.transaction() as session:
        await Infirmary(office.intents).recover(session, incident.id, OPERATOR, at=office.clock.now())
    await answer(ward, handle, "reinstall", Decision.APPROVED)
    await ward.image_when_docker_is_there(handle)
    # The stranger's system may have shown its host key meanwhile, which is an incident of its own.
    done = await healed(ward, handle, port, incident_id=incident.id, timeout_s=200)
    assert done[-1] == "reinstall helped", await ward.scene.story()
