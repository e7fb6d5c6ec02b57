"""Simulated hosts from outside: logins, policy, silence, reboots, reinstalls, playbooks."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import httpx
import pytest

from lazaret.lab.calls import Call
from lazaret.lab.instance import Lab
from lazaret.lab.simulated_configuration import BASELINE_FILE, FailurePlan, SimulatedConfigurationRunner
from lazaret.lab.simulated_readings import reading_of
from lazaret.provisioning.steps.install_access_key import SCRIPT
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import PlaybookNotFound, PlaybookTimeout, TaskEvent, TaskState


@dataclass
class Key:
    path: Path
    public: str


@pytest.fixture
def key(tmp_path: Path) -> Key:
    made = asyncssh.generate_private_key("ssh-ed25519", comment="lazaret")
    path = tmp_path / "key"
    made.write_private_key(str(path))
    return Key(path, made.export_public_key().decode().strip())


@pytest.fixture
async def trusted(server, log_in, key: Key) -> Key:
    """The key, installed with the root password."""
    async with log_in(server, password=server.root_password.get_secret_value()) as connection:
        assert (await connection.run(SCRIPT, input=key.public + "\n")).exit_status == 0
    return key


async def host_key(server) -> str:
    found = await asyncssh.get_server_host_key(server.address, server.ssh_port, config=None)
    return " ".join(found.export_public_key().decode().split()[:2])


async def is_silent(server) -> bool:
    try:
        async with asyncio.timeout(0.7):
            await asyncio.open_connection(server.address, server.ssh_port)
    except TimeoutError:
        return True
    return False


async def answers_again(server) -> None:
    for _ in range(100):
        try:
            async with asyncio.timeout(0.5):
                _, writer = await asyncio.open_connection(server.address, server.ssh_port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise AssertionError("the host did not come back")


async def test_only_root_with_the_right_password_gets_in(server, log_in, key):
    right = server.root_password.get_secret_value()
    for login in ({"password": "wrong"}, {"username": "admin", "password": right}, {"client_keys": [str(key.path)]}):
        with pytest.raises(asyncssh.PermissionDenied):
            await log_in(server, **login)
    async with log_in(server, password=right) as connection:
        assert (await connection.run("echo hello")).stdout == "hello\n"
        unknown = await connection.run("frobnicate --now")
        assert unknown.exit_status == 127 and "not found" in unknown.stderr


async def test_an_installed_key_opens_the_host_and_survives_a_reboot(lab, server, log_in, trusted):
    before = await host_key(server)
    lab.cloud.order(Call.REBOOT, server.server_id, {})
    await lab.cloud.settle()
    await answers_again(server)
    assert await host_key(server) == before
    async with log_in(server, client_keys=[str(trusted.path)]) as connection:
        assert trusted.public in (await connection.run("cat /root/.ssh/authorized_keys")).stdout


async def test_a_reinstall_interrupts_wipes_and_changes_the_host_key(lab, server, log_in, trusted):
    before = await host_key(server)
    lab.cloud.order(Call.REINSTALL, server.server_id, {"os": "kvm-debian-12-x86_64"})
    await asyncio.sleep(0.1)
    assert await is_silent(server)
    await lab.cloud.settle()
    await answers_again(server)
    assert await host_key(server) != before
    with pytest.raises(asyncssh.PermissionDenied):
        await log_in(server, client_keys=[str(trusted.path)])
    async with log_in(server, password=server.root_password.get_secret_value()) as connection:
        assert (await connection.run(f"cat {BASELINE_FILE} 2>/dev/null || true")).stdout == ""


async def test_a_host_without_power_is_silent_on_old_and_new_connections(lab, server, log_in):
    async with log_in(server, password=server.root_password.get_secret_value()) as connection:
        await lab.cloud.power_off(server.server_id)
        assert await is_silent(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await connection.run("true")
        await lab.cloud.power_on(server.server_id)
        await answers_again(server)
        with pytest.raises((asyncssh.Error, OSError)):  # the machine that booted knows nothing of the old connection
            async with asyncio.timeout(2):
                await connection.run("true")
    async with log_in(server, password=server.root_password.get_secret_value()) as connection:
        assert (await connection.run("true")).exit_status == 0


class Playing:
    """A runner against one server, and the events of its last run."""

    def __init__(self, server, key: Key, **options) -> None:
        self.runner = SimulatedConfigurationRunner(baseline_version="v7", task_s=0.001, **options)
        self._server, self._key = server, key
        self.events: list[TaskEvent] = []

    async def play(self, playbook="provision_server", timeout_s=10.0, host_keys=None, variables=None):
        self.events = []

        async def note(event: TaskEvent) -> None:
            self.events.append(event)

        return await self.runner.run(
            playbook,
            SshEndpoint(self._server.address, self._server.ssh_port),
            host_keys=host_keys or [await host_key(self._server)],
            private_key=self._key.path,
            variables=variables or {},
            on_event=note,
            timeout_s=timeout_s,
        )


async def test_a_playbook_hardens_the_host_and_changes_nothing_the_second_time(server, log_in, trusted):
    playing = Playing(server, trusted)
    first = await playing.play()
    assert first.ok and first.changed > 5 and first.report["password_login"] is False
    states = [event.state for event in playing.events]
    assert states.count(TaskState.CHANGED) == states.count(TaskState.STARTED) == playing.events[-1].total
    assert playing.events[-1].position == playing.events[-1].total
    second = await playing.play()
    assert (second.ok, second.changed) == (True, 0)
    with pytest.raises(asyncssh.PermissionDenied):
        await log_in(server, password=server.root_password.get_secret_value())
    async with log_in(server, client_keys=[str(trusted.path)]) as connection:
        assert (await connection.run(f"cat {BASELINE_FILE} 2>/dev/null || true")).stdout == "v7\n"
    health = await playing.play("health_check")
    assert health.ok and health.changed == 0 and health.report["docker"] == {"running": True}


async def test_a_failure_by_plan_strikes_so_many_times(server, trusted):
    playing = Playing(server, trusted, failures=FailurePlan(task=3, times=2, message="no disk"))
    for _ in range(2):
        result = await playing.play()
        assert (result.ok, result.error, result.unreachable) == (False, "no disk", False)
        assert result.failed_task == playing.events[-1].task
        assert playing.events[-1].state is TaskState.FAILED and playing.events[-1].position == 3
    assert (await playing.play()).ok


async def test_a_failure_by_switch_strikes_from_the_labs_side(server, trusted, control):
    await control.post("/switches", json={"name": "playbook_fails", "task": 2, "times": 1, "message": "apt broke"})
    playing = Playing(server, trusted)
    failed = await playing.play()
    assert (failed.ok, failed.error, failed.changed) == (False, "apt broke", 1)
    assert (await playing.play()).ok


async def test_a_host_that_cannot_be_reached_or_does_not_know_us_is_unreachable(lab, server, trusted, key):
    known = await host_key(server)
    other = " ".join(asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2])
    wrong = await Playing(server, trusted).play(host_keys=[other])
    assert wrong.unreachable and not wrong.ok
    lab.cloud.host(server.server_id).state.files.clear()
    refused = await Playing(server, key).play(host_keys=[known])
    assert refused.unreachable and not refused.ok


async def test_time_out_and_unknown_playbook_are_errors(lab, server, trusted):
    known = await host_key(server)
    with pytest.raises(PlaybookNotFound):
        await Playing(server, trusted).play("nothing")
    await lab.cloud.power_off(server.server_id)
    with pytest.raises(PlaybookTimeout):
        await Playing(server, trusted).play(timeout_s=0.3, host_keys=[known])


WEB = {
    "service_name": "web",
    "service_state": "deployed",
    "service_port": 20000,
    "published_tcp_ports": [20000],
    "service_compose_file": "services: {app: {image: nginx}}",
}


async def says_http(server) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=1) as client:
        try:
            return (await client.get(f"http://{server.address}:20000/")).status_code == 200
        except httpx.TransportError:
            return False


async def test_a_service_answers_while_its_host_and_docker_run(lab, server, log_in, trusted):
    host, cloud, number = lab.cloud.host(server.server_id), lab.cloud, server.server_id
    assert (await Playing(server, trusted).play("deploy_service", variables=WEB)).ok
    assert await says_http(server)
    assert json.loads(reading_of(host, full=True))["full"]["docker"]["containers"] == {"web-app-1": "running"}
    await cloud.inflict(number, "docker_stopped", {})
    assert not await says_http(server)
    async with log_in(server, client_keys=[str(trusted.path)]) as connection:
        await connection.run("sh -s", input="timeout 60 systemctl restart docker.service\n")
    assert await says_http(server) and not await cloud.faults(number)
    await cloud.inflict(number, "sshd_stopped", {})
    assert await says_http(server), "only SSH is gone"
    await cloud.heal(number, "sshd_stopped")
    await cloud.power_off(number)
    assert not await says_http(server)
    await cloud.power_on(number)
    await answers_again(server)
    assert await says_http(server)
    assert (await Playing(server, trusted).play("deploy_service", variables=WEB | {"service_state": "stopped"})).ok
    assert not await says_http(server)


async def test_installing_a_key_twice_keeps_one_line(lab, server, log_in, trusted):
    async with log_in(server, client_keys=[str(trusted.path)]) as connection:
        assert (await connection.run(SCRIPT, input=trusted.public + "\n")).exit_status == 0
    assert lab.cloud.host(server.server_id).state.authorized_keys() == [trusted.public]


async def test_two_labs_do_not_meet(lab: Lab, server):
    async with Lab(name=lab.name, hosts=1, time_scale=0.002) as other:
        there = other.cloud.servers()[0]
        assert there.address != server.address
        assert await host_key(there) != await host_key(server)
    await answers_again(server)


async def test_the_environment_points_at_the_lab(lab, server):
    assert lab.environment() == {
        "TIME4VPS_BASE_URL": lab.base_url,
        "TIME4VPS_LOGIN": "lab@example.net",
        "TIME4VPS_PASSWORD": lab.account.password.get_secret_value(),
        "TIME4VPS_MANAGED_SERVER_IDS": "900001",
        "PASSWORD_RESET_POLL_INTERVAL": "0.1",
        "DEFAULT_OS_TEMPLATE": "kvm-debian-13-x86_64",
        "LAZARET_PROVIDER_CALLS_PER_MINUTE": "6000",
        "SERVER_SYNC_INTERVAL": "2",
        "LAZARET_SSH_PORT": "2222",
        "LAZARET_LAB_SIMULATED": "1",
    }
