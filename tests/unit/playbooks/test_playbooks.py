"""The playbooks as data, and the pure parts of the modules that run on servers."""

import re
from pathlib import Path

import pytest
import yaml

from lazaret.playbooks import DIRECTORY, baseline_version, playbook_names
from tests.unit.playbooks.modules import module


def test_playbooks_load_and_every_task_has_a_name() -> None:
    assert {"provision_server", "health_check"} <= set(playbook_names())
    for path in DIRECTORY.glob("*.yml"):
        for play in yaml.safe_load(path.read_text()):
            assert all(task.get("name") for task in play["tasks"]), path


def test_every_variable_that_is_used_has_a_default() -> None:
    defaults = yaml.safe_load((DIRECTORY / "vars" / "defaults.yml").read_text())
    texts = [
        (DIRECTORY / "provision_server.yml").read_text(),
        *(p.read_text() for p in (DIRECTORY / "templates").iterdir()),
    ]
    used = set(re.findall(r"{{ \(?\[?([a-z][a-z0-9_]+)", "\n".join(texts)))
    registered = {"preflight", "packages_job", "baseline", "packages", "access", "proof", "lookup", "extra_role"}
    assert used - registered - {"baseline_version"} <= set(defaults)


def test_the_baseline_changes_with_the_operators_variables() -> None:
    assert baseline_version({}) == baseline_version({})
    assert baseline_version({}) != baseline_version({"extra_packages": ["tmux"]})
    assert re.fullmatch(r"[0-9a-f]{12}", baseline_version({}))


def test_systems_are_told_apart() -> None:
    preflight = module("machine_preflight")
    assert preflight.read_os_release('ID=debian\nVERSION_ID="13"\n') == "debian-13"
    assert preflight.read_os_release('ID=ubuntu\nVERSION_ID="24.04"\nNAME="x=y"') == "ubuntu-24.04"


def test_key_conflicts_are_found_before_anything_is_changed(tmp_path: Path) -> None:
    preflight = module("machine_preflight")
    key = "ssh-ed25519 AAAAkey lazaret"
    uid = tmp_path.stat().st_uid
    tmp_path.chmod(0o700)
    assert preflight.ssh_problem(str(tmp_path), uid, key) == ""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    file = tmp_path / ".ssh" / "authorized_keys"
    file.write_text("ssh-ed25519 AAAAother somebody\nssh-ed25519 AAAAkey lazaret\n")
    assert preflight.ssh_problem(str(tmp_path), uid, key) == "", "other keys may stay"
    assert "chown" in preflight.ssh_problem(str(tmp_path), uid + 1, key)
    file.write_text('command="/bin/false" ssh-ed25519 AAAAkey lazaret\n')
    assert "restrictions" in preflight.ssh_problem(str(tmp_path), uid, key)
    (tmp_path / ".ssh").chmod(0o777)
    assert "chmod" in preflight.ssh_problem(str(tmp_path), uid, key)


def test_a_full_disk_is_told_with_its_cure(tmp_path: Path) -> None:
    preflight = module("machine_preflight")
    assert preflight.free_space_problem(str(tmp_path), 0, 0) == ""
    assert "Cure" in preflight.free_space_problem(str(tmp_path), 10**12, 0)


def test_hosts_file_names_the_machine_once() -> None:
    baseline = module("machine_baseline")
    text = baseline.hosts_with("127.0.0.1 localhost\n127.0.1.1 old\n::1 ip6-localhost\n", "web1.example")
    assert text.splitlines() == ["127.0.0.1 localhost", "127.0.1.1\tweb1.example web1", "::1 ip6-localhost"]
    assert baseline.hosts_with(text, "web1.example") == text
    assert baseline.hosts_with("", "web1").splitlines()[0].endswith("localhost")


def test_firewall_block_is_replaced_and_never_doubled() -> None:
    access = module("machine_access")
    once = access.with_block("*filter\nCOMMIT\n", access.docker_block([80, 443]))
    assert access.with_block(once, access.docker_block([80, 443])) == once
    changed = access.with_block(once, access.docker_block([80]))
    assert changed.count("BEGIN LAZARET") == 1 and "--ctorigdstport 443" not in changed
    lines = access.docker_block([80]).splitlines()
    assert lines.index("-A DOCKER-USER -j LAZARET-PUBLISHED") < lines.index("-A DOCKER-USER -j DROP")


@pytest.mark.parametrize(
    ("rules", "ports"),
    [
        ("### tuple ### allow tcp 22,80,443 0.0.0.0/0 any 0.0.0.0/0 in\n", {22, 80, 443}),
        ("### tuple ### deny tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n", set()),
        ("### tuple ### allow udp 53 0.0.0.0/0 any 0.0.0.0/0 in\n", set()),
        ("", set()),
    ],
)
def test_allowed_ports_are_read_from_ufws_own_rules(rules: str, ports: set[int]) -> None:
    assert module("machine_access").allowed_ports(rules) == ports


def test_an_unhealthy_machine_is_told_with_reasons() -> None:
    health = module("machine_health")
    good = {
        "docker": {"running": True},
        "firewall": {"active": True},
        "disks": {"/": {"used_percent": 10, "inodes_percent": 1}},
        "memory": {"available_percent": 50},
        "clock": {"synchronized": None},
    }
    assert health.reasons(good) == []
    bad = good | {"firewall": {"active": False}, "disks": {"/": {"used_percent": 99.0, "inodes_percent": 95.0}}}
    assert len(health.reasons(bad)) == 3


def test_the_operators_own_roles_count_with_their_content(tmp_path: Path) -> None:
    tasks = tmp_path / "own" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text("- name: One\n")
    variables = {"provision_extra_roles": ["own"], "provision_roles_path": str(tmp_path)}
    before = baseline_version(variables)
    assert baseline_version(variables) == before
    (tasks / "main.yml").write_text("- name: Two\n")
    assert baseline_version(variables) != before


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ""),
        (["ssh-ed25519 AAAAkey lazaret"], ""),
        (["ssh-ed25519 AAAAkey renamed"], ""),
        (["ssh-ed25519 AAAAother somebody", "# ssh-ed25519 AAAAold lazaret"], ""),
        (["ssh-rsa AAAAold lazaret"], "another key"),
        (["restrict ssh-ed25519 AAAAkey lazaret"], "restrictions"),
    ],
)
def test_what_stands_against_our_key(lines: list[str], told: str) -> None:
    conflict = module("machine_preflight").key_conflict(lines, "ssh-ed25519 AAAAkey lazaret")
    assert told in conflict and bool(told) == bool(conflict)
    assert module("machine_preflight").key_conflict(lines, "") == ""


def test_settings_are_set_once_and_others_stay() -> None:
    access = module("machine_access")
    text = access.with_settings('# why\nIPV6=no\nDEFAULT_INPUT_POLICY="ACCEPT"\nX=1\n', access.DEFAULTS_WANTED)
    assert text == '# why\nIPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nX=1\n'
    assert access.with_settings(text, access.DEFAULTS_WANTED) == text
    assert access.with_settings("", {"IPV6": "yes"}) == "IPV6=yes\n"


@pytest.mark.parametrize(
    ("text", "over"),
    [
        ("", False),
        ('{"started": 1, "finished": 0, "ansible_job_id": "j1"}', False),
        ('{"changed": true, "inst', False),
        ('{"changed": false, "installed": []}', True),
        ('{"failed": true, "msg": "no"}', True),
    ],
)
def test_a_job_is_over_when_it_has_a_result(text: str, over: bool) -> None:
    assert module("machine_job").is_over(text) is over


def test_who_waits_for_others_says_so_sooner() -> None:
    patience = module("machine_job").patience
    assert patience("waiting for apt-get (7)", 10) < patience("upgrading", 10) == 10


def test_a_lock_that_nobody_holds_has_no_holder(tmp_path: Path) -> None:
    packages = module("machine_packages")
    (tmp_path / "lock").touch()
    assert packages.lock_holder(str(tmp_path / "lock")) == ""
    assert packages.lock_holder(str(tmp_path / "missing")) == ""
