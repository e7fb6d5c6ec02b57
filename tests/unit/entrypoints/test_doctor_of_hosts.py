"""What `lazaret doctor` says of a hosts file: each finding with its cure."""

from pathlib import Path

import pytest
import yaml

from lazaret.adapters.static.hosts import HostsFileUnreadable
from lazaret.entrypoints.doctor import CHECKS, Finding
from lazaret.kernel.settings import load_settings

HOST = {"id": 1, "name": "web-1", "address": "203.0.113.1", "managed": True}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8qBwvRrRrG9vZKkzv0mYQWqvYbQ6cYp7cYwW0kUd1H"


async def checked(check: str, path: Path | None, **settings: str) -> Finding:
    files = {"LAZARET_STATIC_HOSTS_FILE": str(path)} if path else {}
    return await dict(CHECKS)[check](check, load_settings(files | settings))


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
    assert (await checked("anchors", path, LAZARET_ANCHORS="203.0.113.9:53")).state == "ok"
    assert (await checked("anchors", None)).state == "ok"
