"""Services on a real host: deployed, seen from outside, put back when a version is bad, stopped, removed."""

import pytest
from pydantic import SecretStr

from lazaret.deployments.model import DeploymentStatus
from lazaret.deployments.requests import NotAdmitted
from lazaret.deployments.spec import HttpCheck, TcpCheck
from lazaret.lab.images import WEB_IMAGE
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, web

SERVERS = 2
pytestmark = ON_REAL_HOSTS


async def test_a_service_answers_from_outside_and_nothing_else_does(ward: Ward) -> None:
    handle = ward.handles[0]
    deployment, operation = await ward.deploy(handle, "web", web(secrets={"PASSWORD": SecretStr("it's $ecret")}))
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert await ward.says(handle, deployment.port) == "hello"
    assert (await ward.scene.server(handle)).status == ServerStatus.IN_USE
    mode = await ward.inside(handle, "stat -c %a:%U /opt/lazaret/services/web/.env")
    assert mode.strip() == "600:root"
    shown = await ward.inside(handle, "docker exec web-web-1 /bin/sh -c 'echo \"$PASSWORD\"'")
    assert shown.strip() == "it's $ecret"
    await ward.inside(
        handle, f"docker run -d --name stray -p 8080:9000 {WEB_IMAGE} /bin/busybox httpd -f -p 9000 -h /www"
    )
    assert await ward.says(handle, 8080) == "", "what is not declared stays closed"
    await ward.inside(handle, "docker rm -f stray")


async def test_deploying_the_same_again_changes_nothing(ward: Ward) -> None:
    handle = ward.handles[0]
    (before,) = await ward.services(handle)
    container = await ward.inside(handle, "docker inspect -f '{{.Id}} {{.State.StartedAt}}' web-web-1")
    operation = await ward.act(before.id, "redeploy")
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert await ward.inside(handle, "docker inspect -f '{{.Id}} {{.State.StartedAt}}' web-web-1") == container


@pytest.mark.parametrize(
    "bad",
    [
        web(command=("/bin/busybox", "false"), health=HttpCheck(timeout_s=2)),
        web(health=HttpCheck(path="/absent", timeout_s=2)),
        web(image="test/nowhere:1", health=TcpCheck(timeout_s=2)),
    ],
    ids=["crashes", "unhealthy", "no such image"],
)
async def test_a_bad_version_goes_back_by_itself(ward: Ward, bad: object) -> None:
    handle = ward.handles[0]
    deployment, operation = await ward.deploy(handle, "web", bad)  # type: ignore[arg-type]
    assert operation.status == OperationStatus.FAILED
    assert "runs again" in (operation.hint or ""), operation.error
    (row,) = await ward.services(handle)
    assert (row.status, row.version) == (DeploymentStatus.RUNNING, 1)
    assert await ward.says(handle, deployment.port) == "hello"
    assert not await ward.scene.incidents(handle)


async def test_a_reboot_of_the_host_is_survived(ward: Ward) -> None:
    handle = ward.handles[0]
    (row,) = await ward.services(handle)
    await ward.host(handle).reboot()
    await ward.until_says(handle, row.port, "hello")
    await ward.settle()


async def test_a_server_that_is_too_small_is_refused_with_every_reason(ward: Ward) -> None:
    with pytest.raises(NotAdmitted) as refused:
        await ward.deploy(ward.handles[1], "huge", web(memory_mb=1_000_000, disk_mb=90_000_000))
    assert "of memory are free" in refused.value.message and "of disk are free" in refused.value.message


async def test_stop_closes_the_port_start_opens_it_and_remove_leaves_nothing(ward: Ward) -> None:
    handle = ward.handles[0]
    (row,) = await ward.services(handle)
    assert (await ward.act(row.id, "stop")).status == OperationStatus.SUCCEEDED
    assert await ward.says(handle, row.port) == ""
    assert (await ward.scene.server(handle)).status == ServerStatus.READY
    assert (await ward.act(row.id, "start")).status == OperationStatus.SUCCEEDED
    assert await ward.says(handle, row.port) == "hello"
    logs = await ward.act(row.id, "logs")
    assert logs.status == OperationStatus.SUCCEEDED and "logs" in logs.result
    assert (await ward.act(row.id, "remove")).status == OperationStatus.SUCCEEDED
    assert await ward.says(handle, row.port) == ""
    left = await ward.inside(handle, "ls /opt/lazaret/services; docker ps -aq; cat /etc/lazaret/published-ports")
    assert left.split() == []
