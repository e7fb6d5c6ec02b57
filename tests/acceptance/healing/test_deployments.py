"""Services on a real host: deployed, seen from outside, put back when a version is bad, stopped, removed."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from pydantic import SecretStr

from lazaret.deployments.model import DeploymentStatus
from lazaret.deployments.requests import NotAdmitted
from lazaret.deployments.spec import HttpCheck, TcpCheck
from lazaret.lab.images import WEB_COMMAND, WEB_IMAGE, WEB_PORT
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.acceptance.healing.ward import ON_REAL_HOSTS, Ward, web
from tests.scripted_model import asks, example, scripted

SERVERS = 2
AT_ONCE_S = 60
"""Asked once, when the operation has ended: it must answer then, however slow this machine is."""
pytestmark = ON_REAL_HOSTS


async def test_a_service_answers_from_outside_and_nothing_else_does(ward: Ward) -> None:
    handle = ward.handles[0]
    deployment, operation = await ward.deploy(handle, "web", web(secrets={"PASSWORD": SecretStr("it's $ecret")}))
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert await ward.says(handle, deployment.port, patience_s=AT_ONCE_S) == "hello"
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
    assert await ward.says(handle, deployment.port, patience_s=AT_ONCE_S) == "hello"
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
    assert await ward.says(handle, row.port, patience_s=AT_ONCE_S) == "hello"
    logs = await ward.act(row.id, "logs")
    assert logs.status == OperationStatus.SUCCEEDED and "logs" in logs.result
    assert (await ward.act(row.id, "remove")).status == OperationStatus.SUCCEEDED
    assert await ward.says(handle, row.port) == ""
    left = await ward.inside(handle, "ls /opt/lazaret/services; docker ps -aq; cat /etc/lazaret/published-ports")
    assert left.split() == []


COMPOSE = f"""
services:
  web:
    image: {WEB_IMAGE}
    command: {json.dumps(WEB_COMMAND)}
    ports: ["${{LAZARET_PORT}}:{WEB_PORT}"]
"""


async def test_an_agent_finds_a_server_and_brings_a_service_to_it(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model with a script, by its own tools alone: from the list of servers to a service that answers."""
    for name, value in {**ward.scene.environment, "DATABASE_URL": ward.scene.office.conninfo}.items():
        monkeypatch.setenv(name, value)
    wanted = ward.handles[1]

    def look_closer(said: Sequence[BaseMessage]) -> AIMessage:
        assert wanted in [one["server_handle"] for one in answer_in(said)["items"]]
        return asks("get_services_on_server", server_handle=wanted)

    def bring_it(said: Sequence[BaseMessage]) -> AIMessage:
        assert answer_in(said)["items"] == [], "nothing runs there yet"
        service = {"project_id": "shop", "service_name": "asked", "compose": COMPOSE, "health_path": "/"}
        return asks("deploy", **service, server_handle=wanted, wait_s=0)

    model = scripted(
        lambda _: asks("list_servers", status=["ready"]),
        look_closer,
        bring_it,
        lambda said: asks("follow_errand", errand=answer_in(said)["errand"], wait_s=50),
        lambda said: AIMessage(json.dumps(answer_in(said))),
    )
    done = json.loads(await example()["ask"](model, "Bring the shop to a free server.", write=True))
    assert done["state"] == "done", done
    (row,) = await ward.services(wanted)
    assert (row.service_name, row.status) == ("asked", DeploymentStatus.RUNNING)
    assert row.port == done["deployment_result"]["port"]
    assert await ward.says(wanted, row.port, patience_s=AT_ONCE_S) == "hello"


def answer_in(said: Sequence[BaseMessage]) -> dict[str, Any]:
    """What the tool answered last; an error is none."""
    found: dict[str, Any] = json.loads(str(said[-1].content))
    assert "error" not in found, found
    return found
