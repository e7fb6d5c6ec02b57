"""What `lazaret doctor` says without a database: each finding with its cure."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from lazaret.adapters.static.hosts import HostsFileUnreadable
from lazaret.alerting.self_watch import ProcessState, ProcessView
from lazaret.entrypoints.doctor import clocks, processes
from lazaret.entrypoints.doctor.examination import CHECKS, _show, examine, judge_names
from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.kernel.processes import LoopHealth
from lazaret.kernel.settings import load_settings
from lazaret.servers.access import PortState

HOST = {"id": 1, "name": "web-1", "address": "203.0.113.1", "managed": True}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8qBwvRrRrG9vZKkzv0mYQWqvYbQ6cYp7cYwW0kUd1H"


async def checked(check: str, path: Path | None, **settings: str) -> Finding:
    files = {"LAZARET_STATIC_HOSTS_FILE": str(path)} if path else {}
    return await dict(CHECKS)[check](check, Patient(load_settings(files | settings)))


@pytest.mark.parametrize(
    ("host", "mode", "state", "what", "cure"),
    [
        (HOST | {"host_keys": [KEY]}, 0o644, "ok", "1 hosts, 1 managed", ""),
        (HOST, 0o640, "ok", "1 of these trusted on first use", ""),
        (HOST, 0o666, "broken", "others may write", "chmod go-w"),
        (HOST, 0o664, "broken", "others may write", "chmod go-w"),
        (HOST | {"first_login": {"private_key": "nowhere"}}, 0o644, "broken", "nowhere cannot be read", "private_key"),
        (HOST | {"managed": False}, 0o644, "missing", "0 managed", "managed: true"),
    ],
)
async def test_a_file(tmp_path: Path, host: dict[str, object], mode: int, state: str, what: str, cure: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"hosts": [host]}))
    path.chmod(mode)
    finding = await checked("hosts file", path)
    assert (finding.state, what in finding.what, cure in finding.cure) == (state, True, True), finding


@pytest.mark.parametrize("host", [{"id": 1}, HOST | {"first_login": {"password_file": "nowhere"}}])
async def test_a_file_that_cannot_be_used(tmp_path: Path, host: dict[str, object]) -> None:
    path = tmp_path / "hosts.yml"
    with pytest.raises(HostsFileUnreadable) as missing:
        await checked("hosts file", path)
    assert str(path) in missing.value.message and missing.value.hint
    path.write_text(yaml.safe_dump({"hosts": [host]}))
    with pytest.raises(HostsFileUnreadable) as broken:
        await checked("hosts file", path)
    assert broken.value.hint


async def test_what_is_needed_with_a_file_and_without() -> None:
    path = Path("/nowhere.yml")
    assert (await checked("hosts file", None)).state == "ok"
    assert (await checked("provider", None)).state == "missing"
    assert (await checked("provider", path)).state == "ok"
    assert "LAZARET_ANCHORS" in (await checked("anchors", path)).cure
    finding = await checked("anchors", None)
    assert (finding.state, "none needed" in finding.what) == ("ok", True), finding
    account = {"TIME4VPS_LOGIN": "x", "TIME4VPS_PASSWORD": "y"}
    assert (await checked("anchors", None, **account)).what == "the provider's API"


ANSWERS = {("203.0.113.9", 53): PortState.OPEN, ("2001:db8::1", 443): PortState.REFUSED}


@pytest.mark.parametrize(
    ("anchors", "state", "what"),
    [
        ("203.0.113.9:53", "ok", "203.0.113.9:53 answers"),
        ("203.0.113.9:53,[2001:db8::1]:443", "ok", "203.0.113.9:53, [2001:db8::1]:443 answer"),
        ("nonsense:53", "broken", "no answer from nonsense:53"),
        ("nonsense:53,203.0.113.9:54", "broken", "no answer from nonsense:53 or 203.0.113.9:54"),
        ("203.0.113.9:53,nonsense:53", "missing", "203.0.113.9:53 answers; no answer from nonsense:53"),
    ],
)
async def test_anchors_are_tried(anchors: str, state: str, what: str) -> None:
    async def knock(host: str, port: int) -> PortState:
        return ANSWERS.get((host, port), PortState.SILENT)

    finding = await dict(CHECKS)["anchors"](
        "anchors", Patient(load_settings({"LAZARET_ANCHORS": anchors}), knock=knock)
    )
    assert (finding.state, what in finding.what, "LAZARET_ANCHORS" in finding.cure) == (state, True, state != "ok")


@pytest.mark.parametrize("hosts", [None, Path("/nowhere.yml")])
@pytest.mark.parametrize(
    ("given", "missing"), [("TIME4VPS_LOGIN", "TIME4VPS_PASSWORD"), ("TIME4VPS_PASSWORD", "TIME4VPS_LOGIN")]
)
async def test_half_an_account(hosts: Path | None, given: str, missing: str) -> None:
    finding = await checked("provider", hosts, **{given: "x"})
    assert (finding.state, f"{missing} is missing" in finding.what, missing in finding.cure) == ("broken", True, True)


def test_names_that_are_passed_over_are_told() -> None:
    assert judge_names([]).what == "all names and values are understood"
    finding = judge_names(["TELEGRAM_CHAT_ID", "TELEGRAM_TOKEN"])
    assert (finding.state, finding.what.endswith("TELEGRAM_CHAT_ID, TELEGRAM_TOKEN")) == ("ok", True)


async def test_a_full_disk(tmp_path: Path) -> None:
    patient = Patient(load_settings({"LAZARET_DATA_DIR": str(tmp_path)}), free_mb=lambda _: 499)
    finding = await dict(CHECKS)["disk"]("disk", patient)
    assert (finding.state, finding.what) == ("broken", f"499 MB free at {tmp_path}")
    assert "500 MB at least" in finding.cure and f"du -xh -d 1 {tmp_path}" in finding.cure
    patient.free_mb = lambda _: 500
    assert (await dict(CHECKS)["disk"]("disk", patient)).state == "ok"


async def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    patient = Patient(load_settings({"LAZARET_DATA_DIR": str(tmp_path / "file" / "data")}))
    (finding,) = await examine(patient, [("disk", dict(CHECKS)["disk"])])
    assert (finding.state, "LAZARET_DATA_DIR" in finding.cure) == ("broken", True), finding


async def test_a_data_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    patient = Patient(load_settings({"LAZARET_DATA_DIR": str(tmp_path / "a" / "b")}), free_mb=lambda path: 500)
    (finding,) = await examine(patient, [("disk", dict(CHECKS)["disk"])])
    assert (finding.state, "not there yet" in finding.what) == ("missing", True), finding
    patient.free_mb = lambda path: 499 if path == tmp_path else 10**6
    (finding,) = await examine(patient, [("disk", dict(CHECKS)["disk"])])
    assert (finding.state, list(tmp_path.iterdir())) == ("broken", []), finding


def test_what_is_to_be_copied_is_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    _show([Finding("access key", State.OK, f"{KEY} {'x' * 300}", is_to_copy=True), Finding("disk", State.OK, "room")])
    assert f"\naccess key:\n{KEY} {'x' * 300}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("program", "what"), [(None, "cannot be run"), ("#!/bin/sh\necho 'no module named ansible'; exit 1\n", "no module")]
)
async def test_an_ansible_that_does_not_run(tmp_path: Path, program: str | None, what: str) -> None:
    if program is not None:
        (tmp_path / "ansible-playbook").write_text(program)
        (tmp_path / "ansible-playbook").chmod(0o755)
    finding = await dict(CHECKS)["ansible"]("ansible", Patient(load_settings({}), programs=tmp_path))
    assert (finding.state, what in finding.what, "Install Lazaret again" in finding.cure) == ("broken", True, True)


async def test_the_ansible_that_came_with_us() -> None:
    finding = await dict(CHECKS)["ansible"]("ansible", Patient(load_settings({})))
    assert (finding.state, finding.what.startswith("ansible-playbook [core 2.")) == ("ok", True), finding


NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("database_s", "provider_s", "state", "what", "cure"),
    [
        (0, None, "ok", "0.0 s from the database's", ""),
        (1.2, 2, "ok", "from the provider's", ""),
        (9, None, "broken", "8.0 s from the database's", "on both machines"),
        (-9, 1, "broken", "9.0 s from the database's", "on the database's"),
        (-90, -90, "broken", "90 s from the provider's", "timedatectl set-ntp true"),
        (0, 4000, "broken", "4000 s from the provider's", "timedatectl set-ntp true"),
    ],
)
def test_clocks(database_s: float, provider_s: float | None, state: str, what: str, cure: str) -> None:
    """An answer that took a second leaves a second of doubt."""
    provider = NOW + timedelta(seconds=provider_s) if provider_s is not None else None
    finding = clocks.judge("clocks", NOW, NOW + timedelta(seconds=database_s), NOW + timedelta(seconds=1), provider)
    assert (finding.state, what in finding.what, cure in finding.cure) == (state, True, True), finding


def view(*parts: str, state: ProcessState = ProcessState.ALIVE, dead: str = "") -> ProcessView:
    loops = [LoopHealth(dead, NOW, 60, 3, "OSError", 90, is_dead=True)] if dead else []
    kind = parts[0] if len(parts) == 1 else "up"
    return ProcessView("p", kind, list(parts), "alpha", 7, "0", NOW, NOW, state, loops)


ALL = ("api", "worker", "monitor")


@pytest.mark.parametrize(
    ("views", "state", "what", "cure"),
    [
        ([], "missing", "none runs", "lazaret up"),
        ([view(*ALL)], "ok", "up", ""),
        ([view(*ALL), view("worker", state=ProcessState.SILENT)], "broken", "worker (alpha, pid 7)", "its log"),
        ([view("api"), view("monitor")], "broken", "there is no worker", "lazaret worker"),
        ([view(*ALL, state=ProcessState.AILING, dead="pursuit")], "broken", "pursuit of up (OSError)", "log"),
    ],
)
def test_processes(views: list[ProcessView], state: str, what: str, cure: str) -> None:
    finding = processes.judge("processes", views, ALL)
    assert (finding.state, what in finding.what, cure in finding.cure) == (state, True, True), finding
