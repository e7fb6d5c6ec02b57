"""The module that brings services about refuses what would leave a service's directory, whoever asks."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lazaret.deployments.spec import NAME
from tests.unit.playbooks.modules import module


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    loaded = module("service_compose")
    monkeypatch.setattr(loaded, "ROOT", str(tmp_path / "services"))
    return loaded


def wanted(**changes: Any) -> dict[str, Any]:
    return {"name": "web", "compose": "x", "environment": {}, "port": 20_000, "files": {}, **changes}


def test_it_knows_the_same_names(service: ModuleType) -> None:
    assert f"^{service.NAME}$" == NAME


@pytest.mark.parametrize("name", ["", "../web", "..", "a/b", "a\n", "A", "-a", "a" * 41, "a\x00"])
def test_a_name_that_is_none_is_refused(service: ModuleType, name: str) -> None:
    with pytest.raises(service.Failed, match="nothing was done"):
        service.check_paths(wanted(name=name))


@pytest.mark.parametrize("path", ["../x", "/etc/cron.d/x", "a/../../x", ".env", "compose.yaml", "a//b", "", "a\n"])
def test_a_file_elsewhere_is_refused(service: ModuleType, path: str) -> None:
    with pytest.raises(service.Failed, match="nothing was done"):
        service.check_paths(wanted(files={path: "x"}))


@pytest.mark.parametrize("state", ["deployed", "stopped", "removed", "logs"])
def test_it_is_refused_before_anything_is_done(
    service: ModuleType, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    told: list[str] = []

    class Module:
        def __init__(self, **_: Any) -> None:
            self.params = wanted(name="../web", state=state, health={}, lines=1)

        def fail_json(self, msg: str) -> None:
            told.append(msg)

    monkeypatch.setattr(service, "AnsibleModule", Module)
    monkeypatch.setattr(service, "run", lambda *_, **__: pytest.fail("a command was run"))
    service.main()
    assert told == ["The service's name is not one: nothing was done."]
    assert not Path(service.ROOT).exists()


def test_files_are_written_once_and_what_is_not_described_goes(service: ModuleType) -> None:
    described = wanted(files={"conf/a": "1"}, environment={"A": "it's"})
    service.check_paths(described)
    assert service.write_files(described) is True
    assert service.write_files(described) is False
    directory = Path(service.ROOT, "web")
    assert directory.joinpath(".env").read_text() == "LAZARET_PORT=20000\nA='it\\'s'\n"
    assert directory.joinpath(".env").stat().st_mode & 0o777 == 0o600
    assert service.write_files(wanted()) is True
    assert sorted(one.name for one in directory.iterdir()) == [".env", "compose.yaml", "conf"]


@pytest.mark.parametrize("link", ["conf", "a.new"])
def test_no_link_leads_the_writing_elsewhere(service: ModuleType, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    directory = Path(service.ROOT, "web")
    directory.mkdir(parents=True)
    directory.joinpath(link).symlink_to(outside if link == "conf" else outside / "evil")
    with pytest.raises((service.Failed, OSError)):
        service.write_files(wanted(files={"conf/a" if link == "conf" else "a": "x"}))
    assert list(outside.iterdir()) == []


def test_docker_compose_reads_the_one_file_that_was_checked(
    service: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(*command: str, **_: Any) -> tuple[int, str, str]:
        commands.append(command)
        return 0, "", ""

    monkeypatch.setattr(service, "run", run)
    service.compose("web", "up", "--detach")
    assert commands == [
        ("docker", "compose", "--file", "compose.yaml", "--env-file", ".env", "--project-name", "web", "up", "--detach")
    ]
