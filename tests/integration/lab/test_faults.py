"""What happens to connections and calls by switch, and that the journal tells what was really executed."""

import asyncio

import httpx
import pytest


@pytest.fixture
def reset(provider, server):
    async def call() -> httpx.Response:
        return await provider.post(f"/server/{server.server_id}/resetpassword")

    return call


async def test_a_throttle_meets_the_next_calls_and_leaves_the_task_alone(provider, lab, server, control, reset):
    task_id = (await reset()).json()["task_id"]
    await control.post("/switches", json={"name": "throttle", "wait_s": 24, "times": 2})
    for _ in range(2):
        answer = await provider.get(f"/server/{server.server_id}/task/{task_id}")
        assert answer.status_code == 401
        assert answer.json() == {"error": [["wait_x_between_action", 24], "unauthorized"]}
    assert (await provider.get(f"/server/{server.server_id}/task/{task_id}")).status_code == 200
    await lab.cloud.settle()
    assert len(lab.journal.entries(kind="effect", action="resetpassword", outcome="done")) == 1


async def test_a_gateway_error_is_a_page_and_was_not_executed(lab, control, reset):
    await control.post("/switches", json={"name": "gateway_error", "status": 503, "times": 1})
    answer = await reset()
    assert answer.status_code == 503 and answer.text.startswith("<html>") and len(answer.text) > 4000
    assert [one.outcome for one in lab.journal.entries(kind="call")] == ["lost"]
    assert "task_id" in (await reset()).json()


async def test_a_gateway_error_may_hide_an_executed_action(lab, control, reset):
    await control.post("/switches", json={"name": "gateway_error", "executed": True, "times": 1})
    assert (await reset()).status_code == 502
    await lab.cloud.settle()
    assert [one.outcome for one in lab.journal.entries(action="resetpassword")] == ["accepted", "done"]


@pytest.mark.parametrize("executed", [False, True])
async def test_a_connection_cut_before_the_answer(lab, control, reset, executed):
    await control.post("/switches", json={"name": "cut", "executed": executed, "times": 1})
    with pytest.raises(httpx.TransportError):
        await reset()
    await lab.cloud.settle()
    effects = lab.journal.entries(kind="effect", action="resetpassword")
    assert len(effects) == (1 if executed else 0)
    assert lab.journal.entries(kind="call")[0].outcome == ("accepted" if executed else "lost")


async def test_a_connection_cut_in_the_middle_of_the_answer(lab, control, reset):
    await control.post("/switches", json={"name": "cut", "after_bytes": 5, "times": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        await reset()
    assert lab.journal.entries(kind="call")[0].outcome == "accepted"


async def test_a_slow_answer_comes_after_the_execution(provider, lab, control, server):
    await control.post("/switches", json={"name": "slow", "delay_s": 2, "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        await provider.post(f"/server/{server.server_id}/reboot", timeout=httpx.Timeout(30, read=1))
    assert lab.journal.entries(kind="call")[0].outcome == "accepted"
    await asyncio.sleep(1.5)
    assert (await provider.get("/server")).status_code == 200


@pytest.mark.parametrize("bare", [False, True])
async def test_an_error_may_come_with_status_200_and_nothing_happens(lab, control, reset, bare):
    await control.post("/switches", json={"name": "error_with_200", "text": "no", "bare": bare, "times": 1})
    answer = await reset()
    assert answer.status_code == 200 and answer.json() == {"error": "no" if bare else ["no"]}
    assert [one.outcome for one in lab.journal.entries(kind="call")] == ["refused"]


async def test_busy_with_status_200(lab, control, reset):
    await control.post("/switches", json={"name": "busy", "status": 200})
    await control.post("/switches", json={"name": "task_hangs", "times": 1})
    await reset()
    answer = await reset()
    assert answer.status_code == 200 and "task_id" not in answer.json() and "error" in answer.json()


async def test_a_hanging_task_is_released_by_hand(provider, lab, control, server, reset):
    await control.post("/switches", json={"name": "task_hangs", "times": 1})
    task_id = (await reset()).json()["task_id"]
    async with asyncio.timeout(30):
        while server.active_task.assigned is None:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # longer than one takes that does not hang
    task = (await provider.get(f"/server/{server.server_id}/task/{task_id}")).json()
    assert task["assigned"] and not task["completed"]
    assert (await control.post(f"/servers/{server.server_id}/end-task")).status_code == 200
    await lab.cloud.settle()
    assert (await provider.get(f"/server/{server.server_id}/task/{task_id}")).json()["completed"]
    assert (await control.post(f"/servers/{server.server_id}/end-task")).status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/servers", {"os": "kvm-plan9"}, 422),
        ("POST", "/servers", {"colour": "red"}, 422),
        ("POST", "/servers/900001/explode", None, 422),
        ("POST", "/servers/1/power-off", None, 404),
        ("DELETE", "/servers/1", None, 404),
        ("GET", "/servers/1/root-password", None, 404),
        ("POST", "/switches", {"name": "nope"}, 422),
        ("DELETE", "/switches/nope", None, 422),
        ("GET", "/journal?server_id=x", None, 422),
    ],
)
async def test_wrong_use_of_the_control_api_is_a_problem_with_a_reason(control, method, path, body, status):
    answer = await control.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]


async def test_servers_come_and_go_by_the_control_api(control, lab, provider):
    row = (await control.post("/servers", json={"label": "second"})).json()
    assert row["handle"] == "vps-900002" and row["label"] == "second"
    assert len((await provider.get("/server")).json()) == 2
    assert (await control.delete("/servers/900002")).status_code == 204
    assert len((await provider.get("/server")).json()) == 1
    journal = (await control.get("/journal", params={"kind": "control", "server_id": 900002})).json()
    assert [one["action"] for one in journal["entries"]] == ["add", "remove"]
    assert journal["reads"]["list"] == 2


async def test_no_password_is_in_the_journal_or_the_log(lab, control, provider, reset, server, caplog):
    caplog.set_level("DEBUG")
    planted = [server.root_password.get_secret_value()]
    await reset()
    await lab.cloud.settle()
    planted += [server.root_password.get_secret_value(), lab.account.password.get_secret_value()]
    seen = (await control.get("/journal")).text + (await control.get("/servers")).text + caplog.text
    assert [secret for secret in planted if secret in seen] == []
