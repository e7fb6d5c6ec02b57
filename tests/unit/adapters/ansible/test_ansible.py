"""Ansible's side without Ansible: events, the files of a run, the operator's variables."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lazaret.adapters.ansible.events import Progress, redactor_for, secret_values
from lazaret.adapters.ansible.runner import task_count
from lazaret.adapters.ansible.variables import load_variables
from lazaret.adapters.ansible.workspace import environment_of, inventory_of, known_hosts_of, workspace
from lazaret.kernel.errors import Misconfigured
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINT = SshEndpoint("203.0.113.7", 2222, "root")


def event(name: str, task: str = "t", **data: object) -> dict[str, object]:
    return {"event": name, "event_data": {"task": task, **data}}


def test_a_run_that_succeeds() -> None:
    progress = Progress(total=2)
    shown = [
        progress.take(event("playbook_on_task_start", "one"), NOW),
        progress.take(event("runner_on_ok", "one", res={"changed": True}, duration=1.5), NOW),
        progress.take(event("playbook_on_task_start", "two"), NOW),
        progress.take(event("runner_retry", "two"), NOW),
        progress.take(event("runner_on_ok", "two", res={"report": {"seen": 1}}), NOW),
        progress.take(event("playbook_on_stats"), NOW),
    ]
    states = [one.state for one in shown if one]
    assert states == [TaskState.STARTED, TaskState.CHANGED, TaskState.STARTED, TaskState.WAITING, TaskState.OK]
    assert shown[1] is not None and (shown[1].position, shown[1].total, shown[1].duration_s) == (1, 2, 1.5)
    result = progress.result(ok=True, duration_s=3.0, output="")
    assert (result.ok, result.changed, result.report, result.error) == (True, 1, {"seen": 1}, "")


def test_what_a_run_hands_back_can_be_stored() -> None:
    progress = Progress(total=1)
    progress.take(event("runner_on_ok", res={"report": {"logs": "GET /\x00 \udc80", "ports": [22]}}), NOW)
    result = progress.result(ok=True, duration_s=1.0, output="")
    assert result.report == {"logs": "GET /\ufffd \ufffd", "ports": [22]}


def test_a_run_that_fails_before_anything_was_changed() -> None:
    progress = Progress(total=2)
    progress.take(event("runner_on_failed", "look", res={"msg": "the disk is full", "preflight_failed": True}), NOW)
    result = progress.result(ok=False, duration_s=1.0, output="noise")
    assert (result.failed_task, result.error, result.report["preflight_failed"]) == ("look", "the disk is full", True)


def test_unreachable_and_silent_failures_are_told() -> None:
    progress = Progress(total=1)
    progress.take(event("runner_on_unreachable", res={"msg": "no route"}), NOW)
    assert progress.result(ok=False, duration_s=1.0, output="").unreachable
    assert Progress(total=1).result(ok=False, duration_s=1.0, output="usage: ...").error == "usage: ..."
    assert Progress(total=1).result(ok=False, duration_s=1.0, output="").error


def test_the_files_of_a_run_are_private_and_go_away() -> None:
    with workspace(ENDPOINT, ["ssh-ed25519 AAAA"], Path("/key"), {"a": 1}) as space:
        assert space.directory.stat().st_mode & 0o777 == 0o700
        for path in (space.inventory, space.variables, space.known_hosts):
            assert path.stat().st_mode & 0o777 == 0o600
        assert json.loads(space.variables.read_text()) == {"a": 1}
        kept = space.directory
    assert not kept.exists()


def test_only_a_pinned_host_is_spoken_to() -> None:
    host = inventory_of(ENDPOINT, Path("/known"), Path("/key"))["all"]["hosts"]["lazaret-target"]
    assert (host["ansible_host"], host["ansible_port"]) == ("203.0.113.7", 2222)
    for option in ("StrictHostKeyChecking=yes", "UserKnownHostsFile=/known", "HostKeyAlias=lazaret-target"):
        assert option in host["ansible_ssh_common_args"]
    assert known_hosts_of(["ssh-ed25519 AAAA", "ssh-rsa BBBB"]).count("lazaret-target ") == 2


def test_nothing_of_the_users_configuration_reaches_ansible() -> None:
    environment = environment_of(Path("/run"))
    assert set(environment) - {"PATH", "HOME", "LC_ALL"} == {
        "ANSIBLE_CONFIG",
        "ANSIBLE_HOST_KEY_CHECKING",
        "ANSIBLE_HOME",
        "ANSIBLE_LOCAL_TEMP",
        "ANSIBLE_SSH_CONTROL_PATH_DIR",
    }
    assert environment["HOME"] == "/run" != os.environ.get("HOME")


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "1: x\n", "ssh_public_key: mine\n"])
def test_wrong_variables_are_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vars.yml"
    path.write_text(content)
    with pytest.raises(Misconfigured):
        load_variables(path)


def test_variables_are_optional(tmp_path: Path) -> None:
    path = tmp_path / "vars.yml"
    path.write_text("# nothing yet\n")
    assert load_variables(None) == load_variables(path) == {}
    with pytest.raises(Misconfigured):
        load_variables(tmp_path / "missing.yml")


def test_the_progress_bar_knows_how_many_tasks_there_are() -> None:
    assert task_count("provision_server") >= 7


def test_positions_count_what_the_total_counts() -> None:
    progress = Progress(total=2)
    progress.take(event("playbook_on_task_start", "one", task_action="machine_proof"), NOW)
    assert progress.take(event("playbook_on_task_start", "flush", task_action="ansible.builtin.meta"), NOW) is None
    assert progress.position == 1


def test_who_waits_says_for_whom() -> None:
    shown = Progress(total=1).take(event("runner_retry", res={"phase": "waiting for apt-get (7)"}), NOW)
    assert shown is not None and (shown.state, shown.message) == (TaskState.WAITING, "waiting for apt-get (7)")


def test_secrets_of_the_operators_variables_are_found_by_their_names() -> None:
    variables = {"registry": {"password": "hunter2-long", "user": "me"}, "api_tokens": ["tok-one-11", "tok-two-22"]}
    assert secret_values({**variables, "ssh_public_key": "ssh-ed25519 AAAA"}) == {
        "hunter2-long",
        "tok-one-11",
        "tok-two-22",
    }


def test_no_secret_reaches_an_event_or_the_result() -> None:
    progress = Progress(total=1, redactor=redactor_for({"registry_password": 'pa"ss word'}))
    shown = progress.take(event("runner_on_failed", res={"msg": 'login with pa"ss word or pa\\"ss word failed'}), NOW)
    assert shown is not None
    for text in (shown.message, progress.result(ok=False, duration_s=1.0, output="").error):
        assert "ss word" not in text and "[hidden]" in text
