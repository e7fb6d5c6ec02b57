"""The provider's API over real HTTP: shapes, tasks, refusals."""

import asyncio
import html
import re

import httpx
import pytest

from lazaret.lab.switches import TaskHangs

PASSWORD = re.compile(r"""Password: \t<a onclick='this\.innerHTML = "(.+?)"'>""")


async def finished(provider, server, task_id):
    for _ in range(1500):
        task = (await provider.get(f"/server/{server.server_id}/task/{task_id}")).json()
        if task["completed"]:
            return task
        await asyncio.sleep(0.02)
    raise AssertionError("the task did not end")


async def let_go(lab, server):
    """End the task that hangs, as soon as it does."""
    async with asyncio.timeout(30):
        while server.active_task.assigned is None:
            await asyncio.sleep(0.01)
    lab.cloud.end_task(server.server_id)


async def test_list_and_details_join_only_by_the_callers_own_work(provider, server):
    rows = (await provider.get("/server")).json()
    assert [row["server_id"] for row in rows] == [server.server_id]
    assert "status" not in rows[0] and rows[0]["ip"] == server.address
    details = (await provider.get(f"/server/{server.server_id}")).json()
    assert "server_id" not in details
    assert (details["status"], details["os"], details["active_task"]) == ("Active", "kvm-debian-13-x86_64", None)


@pytest.mark.parametrize("call", ["oses", "ips", "history", "graphs/400"])
async def test_the_smaller_readings_answer(provider, server, call):
    answer = await provider.get(f"/server/{server.server_id}/{call}")
    assert answer.status_code == 200 and "error" not in answer.json()


async def test_services_and_scripts_answer(provider, server):
    assert (await provider.get("/service")).json()["services"][0]["id"] == str(server.server_id)
    assert (await provider.get(f"/service/{server.server_id}")).json()["service"]["status"] == "Active"
    assert "content" not in (await provider.get("/scripts/")).json()[0]
    assert (await provider.get("/scripts/12")).json()["content"]


async def test_the_password_in_the_result_opens_the_host_and_the_old_one_does_not(provider, server, log_in):
    old = server.root_password.get_secret_value()
    answer = await provider.post(f"/server/{server.server_id}/resetpassword")
    assert answer.status_code == 200 and list(answer.json()) == ["task_id"]
    task = await finished(provider, server, answer.json()["task_id"])
    password = html.unescape(PASSWORD.search(task["results"])[1])
    async with log_in(server, password=password) as connection:
        assert (await connection.run("hostname")).stdout == "jag1.l.time4vps.cloud\n"
    with pytest.raises(Exception, match="Permission denied"):
        await log_in(server, password=old)


@pytest.mark.parametrize("form", ["plain", "multiline"])
async def test_an_awkward_password_opens_the_host_in_every_form(provider, lab, server, log_in, control, form):
    await control.post("/switches", json={"name": "awkward_password"})
    await control.post("/switches", json={"name": "password_text", "form": form})
    task_id = (await provider.post(f"/server/{server.server_id}/resetpassword")).json()["task_id"]
    text = (await finished(provider, server, task_id))["results"]
    password = html.unescape(re.search(r"Password:\s+(.+)$", text, re.MULTILINE)[1])
    async with log_in(server, password=password) as connection:
        assert (await connection.run("true")).exit_status == 0
    truth = (await control.get(f"/servers/{server.server_id}/root-password")).json()["root_password"]
    assert password == truth


async def test_a_second_action_meets_busy_and_only_one_was_accepted(provider, lab, server):
    lab.switches.set(TaskHangs(times=1))
    paths = [f"/server/{server.server_id}/{word}" for word in ("resetpassword", "reboot")]
    first, second = [await provider.post(path) for path in paths]
    assert "task_id" in first.json()
    assert second.status_code == 409 and "busy" in second.json()["error"][0]
    details = (await provider.get(f"/server/{server.server_id}")).json()
    assert details["active_task"]["name"] == "server_reset_password"
    await let_go(lab, server)
    await lab.cloud.settle()
    details = (await provider.get(f"/server/{server.server_id}")).json()
    assert details["active_task"] is None and details["last_tasks"][0]["name"] == "server_reset_password"
    assert [one.outcome for one in lab.journal.entries(kind="call")] == ["accepted", "refused"]


async def test_a_task_is_found_by_name_and_an_unknown_one_is_named_so(provider, lab, server):
    answer = await provider.get(f"/server/{server.server_id}/task/server_recreate")
    assert answer.json() == {"error": ["Invalid task ID"]}
    await provider.post(f"/server/{server.server_id}/reinstall", json={"os": "kvm-debian-12-x86_64", "ssh_key": None})
    await lab.cloud.settle()
    task = (await provider.get(f"/server/{server.server_id}/task/server_recreate")).json()
    assert task["completed"] and "Password:" in task["results"]
    assert (await provider.get(f"/server/{server.server_id}")).json()["os"] == "kvm-debian-12-x86_64"


async def test_parameters_come_as_json_form_or_query(provider, lab, server):
    path = f"/server/{server.server_id}/rename"
    for number, sent in enumerate(
        (
            {"json": {"hostname": "n0.example.org"}},
            {"data": {"hostname": "n1.example.org"}},
            {"params": {"hostname": "n2.example.org"}},
        )
    ):
        assert "task_id" in (await provider.post(path, **sent)).json()
        await lab.cloud.settle()
        assert (await provider.get("/server")).json()[0]["domain"] == f"n{number}.example.org"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/server/1", None, 404),
        ("POST", "/server/1/reboot", None, 404),
        ("GET", "/nowhere", None, 404),
        ("POST", "/server/900001/reinstall", b"", 400),
        ("POST", "/server/900001/reinstall", b"{not json", 400),
        ("POST", "/server/900001/reinstall", b"[1]", 400),
        ("POST", "/server/900001/reinstall", b'{"os": {"a": 1}}', 400),
        ("GET", "/server/900001/graphs/9999999", None, 400),
    ],
)
async def test_what_cannot_be_done_is_an_error_list(provider, lab, method, path, body, status):
    answer = await provider.request(method, path, content=body)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], list) and "task_id" not in answer.json()
    assert lab.journal.entries(outcome="accepted") == []


async def test_the_login_comes_before_everything_else(lab):
    async with httpx.AsyncClient(base_url=lab.base_url, trust_env=False) as nobody:
        for path in ("/server", "/nowhere"):
            answer = await nobody.get(path)
            assert (answer.status_code, answer.json()) == (401, {"error": ["unauthorized"]})
        wrong = await nobody.post("/server/900001/reboot", auth=("lab@example.net", "wrong"))
        assert (wrong.status_code, wrong.json()) == (401, {"error": ["wronglogin", "unauthorized"]})
    assert [one.note for one in lab.journal.entries(kind="call")] == ["wronglogin"]


async def test_variants_of_answers(provider, server, control, lab):
    await control.post("/switches", json={"name": "ids_as_strings"})
    await control.post("/switches", json={"name": "single_object", "call": "list"})
    row = (await provider.get("/server")).json()
    assert row["server_id"] == str(server.server_id)
    task_id = (await provider.post(f"/server/{server.server_id}/reboot")).json()["task_id"]
    assert isinstance(task_id, str)
    await control.delete("/switches")
    await lab.cloud.settle()
    await control.post("/switches", json={"name": "nulls"})
    await control.post("/switches", json={"name": "date_form"})
    await control.post("/switches", json={"name": "task_hangs", "times": 1})
    await provider.post(f"/server/{server.server_id}/reboot")
    task = (await provider.get(f"/server/{server.server_id}/task/server_reboot")).json()
    assert task["completed"] is None and re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", task["activated"])
    await control.post("/switches", json={"name": "short_list", "keep": 0})
    assert (await provider.get("/server")).json() == []
