"""The task engine: one task at a time, three stamps, and effects that really happen."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from lazaret.kernel.errors import Conflict, InvalidInput, NotFound
from lazaret.lab.calls import Call
from lazaret.lab.orders import Refusal
from lazaret.lab.servers import DEBIAN_12
from lazaret.lab.store import ServerStore
from lazaret.lab.switches import AwkwardPassword, Busy, PasswordText, SshKeyHonoured, TaskFails, TaskHangs


async def test_a_new_server_is_booted_with_a_password_of_its_own(account):
    first, second = await account.cloud.add_server(), await account.cloud.add_server(os=DEBIAN_12.os, label="web")
    host = account.rack.hosts[first.server_id]
    assert host.done == ["create", "on"]
    assert host.password == first.root_password.get_secret_value() != second.root_password.get_secret_value()
    assert (first.server_id, first.hostname) == (900001, "jag1.l.time4vps.cloud")
    assert (second.server_id, second.os, second.label) == (900002, DEBIAN_12.os, "web")


async def test_an_unknown_template_makes_no_server(account):
    with pytest.raises(InvalidInput, match="cannot install"):
        await account.cloud.add_server(os="kvm-plan9")
    assert account.cloud.servers() == []


async def test_a_reset_changes_the_password_at_its_end_and_nothing_else(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    old, ordered_at = host.password, account.clock.now()
    task_id = account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    task = account.cloud.find_task(server.server_id, str(task_id))
    assert (task.assigned, task.completed, task.results.get_secret_value()) == (None, None, "")
    assert server.active_task is task and host.password == old
    await account.cloud.settle()
    assert task.assigned - ordered_at == timedelta(seconds=10)
    assert task.completed - task.assigned == timedelta(seconds=45)
    assert host.password != old
    assert host.password in task.results.get_secret_value()
    assert host.done == ["create", "on", "password"]
    assert server.active_task is None and server.finished_tasks == [task]


async def test_a_reinstall_wipes_and_boots_a_minute_after_it_is_reported_complete(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    account.cloud.order(Call.REINSTALL, server.server_id, {"os": DEBIAN_12.os})
    await account.cloud.settle()
    assert host.done == ["create", "on", "off", "create", "on"]
    assert (host.os, server.os) == (DEBIAN_12.os, DEBIAN_12.os)
    task = server.finished_tasks[0]
    assert task.completed - task.assigned == timedelta(seconds=340)
    assert account.clock.now() - task.completed >= timedelta(seconds=60)
    assert host.password in task.results.get_secret_value()


async def test_the_key_of_a_reinstall_is_ignored_unless_the_switch_honours_it(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    wish = {"os": DEBIAN_12.os, "ssh_key": "ssh-ed25519 AAAA me"}
    account.cloud.order(Call.REINSTALL, server.server_id, wish)
    await account.cloud.settle()
    assert host.installed_keys == []
    account.switches.set(SshKeyHonoured())
    account.cloud.order(Call.REINSTALL, server.server_id, wish)
    await account.cloud.settle()
    assert host.installed_keys == ["ssh-ed25519 AAAA me"]


async def test_a_second_action_is_refused_while_a_task_runs(account):
    server = await account.cloud.add_server()
    account.cloud.order(Call.REBOOT, server.server_id, {})
    with pytest.raises(Refusal) as refused:
        account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    assert refused.value.status == 409
    await account.cloud.settle()
    assert account.rack.hosts[server.server_id].done == ["create", "on", "reboot"]


async def test_with_the_switch_a_second_action_is_queued_and_runs_afterwards(account):
    server = await account.cloud.add_server()
    account.switches.set(Busy(mode="queue"))
    account.cloud.order(Call.REBOOT, server.server_id, {})
    account.cloud.order(Call.FLUSH_FIREWALL, server.server_id, {})
    await account.cloud.settle()
    assert account.rack.hosts[server.server_id].done == ["create", "on", "reboot", "flush"]
    reboot, flush = server.finished_tasks
    assert flush.activated < reboot.completed < flush.assigned


async def test_two_servers_work_at_the_same_time(account):
    one, two = await account.cloud.add_server(), await account.cloud.add_server()
    account.cloud.order(Call.RESET_PASSWORD, one.server_id, {})
    account.cloud.order(Call.RESET_PASSWORD, two.server_id, {})
    await account.cloud.settle()
    assert len(account.journal.entries(kind="effect", action="resetpassword", outcome="done")) == 2


async def test_a_task_that_fails_by_switch_changes_nothing_and_says_so_only_in_its_text(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    account.switches.set(TaskFails(text="Error: no", call=Call.RESET_PASSWORD, times=1))
    old = host.password
    account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    await account.cloud.settle()
    task = server.finished_tasks[0]
    assert task.is_over and task.results.get_secret_value() == "Error: no" and host.password == old
    account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    await account.cloud.settle()
    assert host.password != old


async def test_a_host_that_breaks_ends_the_task_without_telling_a_password(account):
    server = await account.cloud.add_server()
    account.rack.hosts[server.server_id].broken = True
    account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    await account.cloud.settle()
    assert server.finished_tasks[0].results.get_secret_value() == "Error: operation failed"
    assert [one.note for one in account.journal.entries(outcome="failed")] == ["OSError"]


async def test_a_hanging_task_blocks_the_server_until_it_is_released(account):
    server = await account.cloud.add_server()
    account.switches.set(TaskHangs(times=1))
    account.cloud.order(Call.REBOOT, server.server_id, {})
    for _ in range(20):
        await asyncio.sleep(0)
    assert server.active_task is not None and server.active_task.assigned is not None
    account.cloud.end_task(server.server_id)
    await account.cloud.settle()
    assert server.active_task is None
    with pytest.raises(Conflict):
        account.cloud.end_task(server.server_id)


async def test_results_carry_the_password_in_the_form_that_the_switch_asks_for(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    texts = {}
    for form in ("plain", "html", "multiline", "missing"):
        account.switches.set(PasswordText(form=form))
        account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
        await account.cloud.settle()
        texts[form] = server.finished_tasks[-1].results.get_secret_value()
        assert (host.password in texts[form]) is (form != "missing")
    assert texts["plain"] == f"Password: {texts['plain'].split()[1]}\n"
    assert "onclick='this.innerHTML = \"" in texts["html"]
    assert "onclick" not in texts["multiline"] and len(texts["multiline"].splitlines()) > 5


async def test_an_awkward_password_really_becomes_the_root_password(account):
    server = await account.cloud.add_server()
    account.switches.set(AwkwardPassword())
    account.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    await account.cloud.settle()
    password = account.rack.hosts[server.server_id].password
    assert all(sign in password for sign in "\"'<&> ")
    assert password not in server.finished_tasks[0].results.get_secret_value()  # it is escaped there


async def test_tasks_are_found_by_id_and_the_latest_by_name(account):
    server = await account.cloud.add_server()
    first = account.cloud.order(Call.REBOOT, server.server_id, {})
    await account.cloud.settle()
    second = account.cloud.order(Call.REBOOT, server.server_id, {})
    assert account.cloud.find_task(server.server_id, str(first)).task_id == first
    assert account.cloud.find_task(server.server_id, "server_reboot").task_id == second
    assert account.cloud.find_task(server.server_id, "server_recreate") is None
    assert account.cloud.find_task(1, str(first)) is None
    await account.cloud.settle()


async def test_only_the_last_tasks_are_kept(account):
    server = await account.cloud.add_server()
    for _ in range(23):
        account.cloud.order(Call.FLUSH_FIREWALL, server.server_id, {})
        await account.cloud.settle()
    assert len(server.finished_tasks) == 20


async def test_power_is_the_operators_and_the_provider_notices_nothing(account):
    server = await account.cloud.add_server()
    await account.cloud.power_off(server.server_id)
    assert not account.rack.hosts[server.server_id].is_on
    assert server.active_task is None and server.finished_tasks == []
    await account.cloud.power_on(server.server_id)
    assert account.rack.hosts[server.server_id].is_on
    with pytest.raises(NotFound):
        await account.cloud.power_off(1)


async def test_a_removed_server_is_destroyed_and_its_task_ends_with_it(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    account.switches.set(TaskHangs())
    account.cloud.order(Call.REBOOT, server.server_id, {})
    await account.cloud.remove_server(server.server_id)
    assert host.destroyed and account.cloud.servers() == [] and "reboot" not in host.done
    with pytest.raises(Refusal):
        account.cloud.order(Call.REBOOT, server.server_id, {})


async def test_a_restarted_lab_runs_an_unfinished_task_again_and_sets_the_same_password(tmp_path: Path, make_account):
    before = make_account(store=ServerStore(tmp_path))
    server = await before.cloud.add_server(label="kept")
    before.switches.set(TaskHangs())
    task_id = before.cloud.order(Call.RESET_PASSWORD, server.server_id, {})
    await asyncio.sleep(0)
    await before.cloud.close(destroy=False)
    ordered = server.tasks[0].new_password.get_secret_value()

    after = make_account(store=ServerStore(tmp_path), rack=before.rack)
    await after.cloud.resume()
    resumed = after.cloud.server(server.server_id)
    assert resumed.label == "kept" and resumed.active_task.task_id == task_id
    for _ in range(20):
        await asyncio.sleep(0)
    after.cloud.end_task(server.server_id)
    await after.cloud.settle()
    assert after.rack.hosts[server.server_id].password == ordered
    assert (await after.cloud.add_server()).server_id == server.server_id + 1
    assert after.cloud.order(Call.REBOOT, server.server_id, {}) > task_id
    await after.cloud.settle()


async def test_a_server_whose_host_is_gone_is_not_taken_up_and_its_id_is_not_used_again(tmp_path: Path, make_account):
    before = make_account(store=ServerStore(tmp_path))
    server = await before.cloud.add_server()
    after = make_account(store=ServerStore(tmp_path))
    await after.cloud.resume()
    assert after.cloud.servers() == []
    assert (await after.cloud.add_server()).server_id == server.server_id + 1
