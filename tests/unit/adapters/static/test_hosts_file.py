"""The hosts file: strict, fail-closed, read again when it changes, and never quoted."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lazaret.adapters.static import HostsFile
from lazaret.adapters.static.hosts import HostsFileUnreadable, StaticHost, parse_hosts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8qBwvRrRrG9vZKkzv0mYQWqvYbQ6cYp7cYwW0kUd1H"
WHOLE = f"""
hosts:
  - id: 1
    name: web-1
    address: 203.0.113.10
    managed: true
    port: 2222
    user: root
    label: the first
    host_keys: ["{KEY} root@web-1"]
    first_login: {{private_key: keys/old}}
  - {{id: 2, name: db.example.org, address: "2001:DB8::1"}}
"""


def test_a_whole_file() -> None:
    first, second = parse_hosts(WHOLE)
    assert (first.id, first.name, first.address, first.port, first.managed) == (1, "web-1", "203.0.113.10", 2222, True)
    assert first.host_keys == (KEY,), "without its comment"
    assert first.first_login is not None and first.first_login.private_key == Path("keys/old")
    assert (second.address, second.port, second.user, second.managed) == ("2001:db8::1", 22, "root", False)
    assert (second.host_keys, second.first_login) == ((), None)
    assert parse_hosts("hosts: []") == ()


def _host(**fields: object) -> str:
    return yaml.safe_dump({"hosts": [{"id": 1, "name": "a", "address": "203.0.113.1", **fields}]})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("hosts:", "hosts: "),
        ("servers: []", "servers: there is no such field"),
        ("- id: 1", "begin with `hosts:`"),
        ("hosts: [1]", "hosts.0"),
        ("hosts: [", "line 1"),
        ("hosts: &a [*a]", "aliases"),
        ("hosts: [{id: 1, managed: false, managed: true}]", "line 1, column 33: this key stands twice"),
        (_host(managed="yes"), "host 1: managed"),
        (_host(managed=1), "host 1: managed"),
        (_host(id=0), "host 1: id"),
        (_host(id="1"), "host 1: id"),
        (_host(id=True), "host 1: id"),
        (_host(id=1.0), "host 1: id"),
        (_host(id=2**40), "host 1: id"),
        (_host(address="web.example.org"), "host 1: address: write an IP address, not a name"),
        (_host(address=3405803777), "host 1: address: write an IP address"),
        (_host(address="0.0.0.0"), "host 1: address: write the address of one host"),
        (_host(address="203.0.113.0/24"), "host 1: address"),
        (_host(name="a b"), "host 1: name"),
        (_host(name=""), "host 1: name"),
        (_host(port=0), "host 1: port"),
        (_host(port="22"), "host 1: port"),
        (_host(user="admin"), "host 1: user: only root"),
        (_host(host_keys=["ssh-ed25519"]), "host 1: host_keys.0: write a public host key"),
        (_host(host_keys=["203.0.113.1 " + KEY]), "host 1: host_keys.0"),
        (_host(host_keys=KEY), "host 1: host_keys"),
        (_host(first_login={}), "host 1: first_login: name either private_key or password_file"),
        (_host(first_login={"private_key": "a", "password_file": "b"}), "host 1: first_login: name either"),
        (_host(first_login={"password": "planted-secret"}), "host 1: first_login.password: there is no such field"),
        (_host(manged=True), "host 1: manged: there is no such field"),
        ("hosts: [{id: 1, name: a}]", "host 1: address: it is missing"),
        ("hosts: [{id: 1, name: a, address: 192.0.2.1}, {id: 1, name: b, address: 192.0.2.2}]", "the id 1 stands 2"),
        ("hosts: [{id: 1, name: a, address: '::1'}, {id: 2, name: b, address: '0:0::1'}]", "the address ::1 stands 2"),
        ("hosts: [{id: 1, name: a, address: 192.0.2.1}, {id: 2, name: A, address: 192.0.2.2}]", "the name a stands 2"),
        ("hosts: [{id: 1, name: a, address: 2026-99-99}]", "not YAML"),
        ("[" * 5000, ""),
        ("hosts: []\x00", ""),
        ("hosts: [" + " " * 1_000_001 + "]", ""),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_read(text: str, says: str) -> None:
    with pytest.raises(HostsFileUnreadable) as caught:
        parse_hosts(text)
    assert says in caught.value.message and caught.value.hint
    assert "planted" not in caught.value.message and "\n" not in caught.value.message


def test_of_many_problems_the_first_are_told() -> None:
    rows = [{"id": number, "name": "a b", "address": f"203.0.113.{number}"} for number in range(1, 9)]
    with pytest.raises(HostsFileUnreadable, match="and 3 more"):
        parse_hosts(yaml.safe_dump({"hosts": rows}))


@given(st.text(max_size=300))
def test_any_text_is_hosts_or_unreadable(text: str) -> None:
    try:
        hosts = parse_hosts(text)
    except HostsFileUnreadable:
        return
    assert all(isinstance(host, StaticHost) for host in hosts)


WORDS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))
VALUES = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
GOOD = {"id": 1, "name": "a", "address": "203.0.113.1"}


@given(st.sampled_from(sorted(StaticHost.model_fields)), VALUES)
def test_managed_is_the_word_true_and_nothing_like_it(field: str, value: object) -> None:
    try:
        hosts = parse_hosts(yaml.safe_dump({"hosts": [{**GOOD, field: value}]}))
    except HostsFileUnreadable:
        return
    assert [host.managed for host in hosts] == [field == "managed" and value is True]


def _write(path: Path, text: str) -> None:
    """As an operator should: whole, and put in its place at once."""
    draft = path.with_suffix(".new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def test_a_file_that_changes_is_read_again_and_one_that_breaks_allows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    file = HostsFile(path)
    assert file.managed_ids() == frozenset(), "missing"
    with pytest.raises(HostsFileUnreadable, match="No such file"):
        file.hosts()
    _write(path, WHOLE)
    assert file.managed_ids() == {1}
    _write(path, WHOLE.replace("managed: true", "managed: false"))
    assert file.managed_ids() == frozenset()
    _write(path, WHOLE)
    assert file.managed_ids() == {1}
    _write(path, WHOLE + "garbage: [")
    assert file.managed_ids() == frozenset(), "what was read before counts no more"
    path.write_bytes(b"hosts: \xff")
    assert file.managed_ids() == frozenset()
    with pytest.raises(HostsFileUnreadable, match="UTF-8"):
        file.hosts()
    path.unlink()
    path.mkdir()
    assert file.managed_ids() == frozenset()


def test_it_is_not_parsed_again_while_it_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(WHOLE)
    file = HostsFile(path)
    assert file.hosts() is file.hosts()
    before = path.stat()
    path.write_text(WHOLE.replace("web-1", "web-2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.hosts()[0].name == "web-2", "the same size and time, and yet another file"


def test_the_example_of_the_documents_is_a_hosts_file() -> None:
    page = (Path(__file__).parents[4] / "docs" / "howto" / "static_hosts.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert [(host.id, host.managed) for host in parse_hosts(example)] == [(1, True), (2, True), (3, False)]
    for field in StaticHost.model_fields:
        assert f"| `{field}` |" in page, f"{field} is explained"
