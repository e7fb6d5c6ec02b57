"""A new server becomes `ready` by itself, and is what `ready` promises: seen from outside, and again after a reboot.

The tests follow one host through its life, in this order.
"""

import asyncio
import shutil
from contextlib import suppress

import pytest
from pydantic import SecretStr

from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.entrypoints.checking import check_health
from lazaret.entrypoints.office import open_office
from lazaret.entrypoints.worker import run_worker
from lazaret.kernel.errors import Conflict
from lazaret.kernel.secrets import Redactor
from lazaret.lab.instance import wait_for_port
from lazaret.operations.model import OperationStatus
from lazaret.servers.access import AccessError, LoginRefused, PasswordLogin, PortState, SshEndpoint
from lazaret.servers.guard import TouchRefused
from lazaret.servers.status import ServerStatus
from tests.acceptance.provisioning.conftest import MISSING, OPERATOR, Scene

pytestmark = [
    pytest.mark.real_host,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
]

# A web server in an image of nothing but busybox, published on a port that is allowed and on one that is not.
WEB = """set -eu
[ -x /bin/busybox ] || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
mkdir -p /tmp/image/bin /tmp/image/www; cp /bin/busybox /tmp/image/bin/; echo hello > /tmp/image/www/index.html
tar -C /tmp/image -c . | docker import - test/web:1 >/dev/null
for port in 80 8080; do
  docker run -d --name web$port --restart unless-stopped -p $port:9000 test/web:1 /bin/busybox httpd -f -p 9000 -h /www
done
for port in 80 8080; do until curl -fsS -m 5 http://127.0.0.1:$port/ >/dev/null; do sleep 0.2; done; done
"""
BOOTED = "curl -fsS -m 5 http://127.0.0.1:80/ && curl -fsS -m 5 http://127.0.0.1:8080/ && fail2ban-client ping"


async def assert_as_promised(scene: Scene) -> None:
    """Everything that "Done when" names, by its effect."""
    server = await scene.server()
    endpoint = SshEndpoint(server.public_ip or "")
    access = AsyncSshAccess()
    assert (await scene.on_host("id -un")).stdout.strip() == "root"
    assert not await access.offers_password_login(endpoint, host_keys=server.host_keys)
    password = SecretStr(scene.lab.cloud.server(900001).root_password.get_secret_value())
    with pytest.raises(LoginRefused):
        async with access.connect(endpoint, host_keys=server.host_keys, login=PasswordLogin(password)):
            pass
    states = {port: await access.probe_port(endpoint.address, port, timeout_s=1) for port in (22, 80, 443, 8080, 9000)}
    assert states == {
        22: PortState.OPEN,
        80: PortState.OPEN,
        443: PortState.REFUSED,  # let through, and nothing listens
        8080: PortState.SILENT,
        9000: PortState.SILENT,
    }
    said = await scene.on_host(
        "curl -fsS http://127.0.0.1:8080/; docker compose version --short; date +%Z;"
        " timedatectl show -p Timezone --value; hostname; fail2ban-client status sshd | head -1;"
        " docker run --rm test/web:1 /bin/busybox echo ran"
    )
    lines = said.stdout.splitlines()
    assert lines[0] == "hello", "the container on 8080 answers from inside, so its silence outside means something"
    assert int(lines[1].lstrip("v").split(".")[0]) >= 2
    assert lines[2:] == ["UTC", "Etc/UTC", server.host, "Status for the jail: sshd", "ran"], said


async def test_becomes_ready_by_itself(scene: Scene) -> None:
    operation = await scene.until_ended()
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    server = await scene.server()
    assert (server.status, server.host_key_epoch) == (ServerStatus.READY, 1)
    assert (await scene.server(scene.ghost)).status == ServerStatus.RESERVED


async def test_is_what_ready_promises(scene: Scene) -> None:
    made = await scene.on_host("sh -s", stdin=WEB, timeout_s=120)
    assert made.ok, made.stderr
    await assert_as_promised(scene)


async def test_a_second_run_changes_nothing(scene: Scene) -> None:
    async with scene.office.db.transaction() as session:
        asked = await scene.office.desk.provision(
            session, scene.handle, OPERATOR, at=scene.office.clock.now(), converge=True
        )
    operation = await scene.until_ended(asked.id)
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert operation.result["changed"] == 0


async def test_health_is_reported_with_reasons(scene: Scene) -> None:
    healthy = await check_health(scene.office, scene.handle)
    assert healthy["ok"], healthy["reasons"]
    assert healthy["docker"]["containers"] == {"running": 2}
    assert healthy["firewall"] == {"active": True}
    await scene.on_host("systemctl stop docker.socket docker")
    sick = await check_health(scene.office, scene.handle)
    assert (sick["ok"], sick["reasons"]) == (False, ["Docker does not answer"])
    await scene.on_host("systemctl start docker")
    assert (await scene.server()).last_health_check is not None
    with pytest.raises(Conflict, match="not managed"):
        await check_health(scene.office, scene.ghost)


async def test_still_so_after_a_reboot(scene: Scene) -> None:
    before = (await scene.on_host("cat /proc/sys/kernel/random/boot_id; uptime -s")).stdout
    await scene.lab.cloud.host(900001).reboot()
    server = await scene.server()
    await wait_for_port(server.public_ip or "", 22, timeout_s=60)
    await until_booted(scene)
    assert (await scene.on_host("cat /proc/sys/kernel/random/boot_id; uptime -s")).stdout != before
    await assert_as_promised(scene)


async def until_booted(scene: Scene) -> None:
    """What a reboot starts anew is there: both containers, and fail2ban."""
    async with asyncio.timeout(120):
        while True:
            with suppress(AccessError):  # sshd is not ready for everybody while it boots
                if (await scene.on_host(BOOTED)).ok:
                    return
            await asyncio.sleep(0.5)


async def test_force_rebuild_wipes_it_and_ends_ready(scene: Scene) -> None:
    await scene.on_host("echo precious > /root/data")
    async with scene.office.db.transaction() as session:
        asked = await scene.office.desk.rebuild(session, scene.handle, OPERATOR, at=scene.office.clock.now())
    assert (await scene.server()).status == ServerStatus.FORCE_REBUILD
    operation = await scene.until_ended(asked.id)
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    server = await scene.server()
    assert (server.status, server.host_key_epoch) == (ServerStatus.READY, 2)
    assert not (await scene.on_host("cat /root/data")).ok
    assert len(scene.lab.journal.entries(kind="call", action="reinstall", outcome="accepted")) == 1
    made = await scene.on_host("sh -s", stdin=WEB, timeout_s=120)
    assert made.ok, made.stderr
    await assert_as_promised(scene)


async def test_a_ghost_cannot_be_rebuilt(scene: Scene) -> None:
    for ask in (scene.office.desk.rebuild, scene.office.desk.provision):
        with pytest.raises(TouchRefused):
            async with scene.office.db.transaction() as session:
                await ask(session, scene.ghost, OPERATOR, at=scene.office.clock.now())
    calls = scene.lab.journal.entries(kind="call", server_id=900002)
    assert calls == []


async def test_an_empty_database_adopts_a_server_that_is_in_order_and_changes_nothing(scene: Scene) -> None:
    look = (
        "cat /proc/sys/kernel/random/boot_id /etc/lazaret/baseline; docker ps -q; stat -c %Z /etc /root/.ssh /etc/ssh"
    )
    before = (await scene.on_host(look)).stdout
    calls = len(scene.lab.journal.entries(kind="call"))
    directory = scene.settings.lazaret_data_dir / "second"
    directory.mkdir(mode=0o755)
    shutil.copytree(scene.key.parent, directory / "ssh")
    settings = scene.settings.model_copy(update={"lazaret_data_dir": directory})
    async with open_office(settings, redactor=Redactor()) as office:
        worker = asyncio.create_task(run_worker(office))
        try:
            second = Scene(scene.lab, office, settings)
            operation = await second.until_ended()
            assert operation.status == OperationStatus.SUCCEEDED, operation.error
            server = await second.server()
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)
    assert server.status == ServerStatus.READY
    assert len(scene.lab.journal.entries(kind="call")) == calls, "no reset, no reinstall, no reboot"
    assert (await scene.on_host(look)).stdout == before
