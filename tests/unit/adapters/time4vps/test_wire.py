"""Answers of every shape become our values, or ProviderUnavailable."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.adapters.time4vps import wire
from lazaret.servers.provider import ListedServer, OsTemplate, ProviderUnavailable

ROW = {"server_id": 900001, "domain": "jag1.l.time4vps.cloud", "ip": "203.0.113.20", "label": "web-1", "type": "Linux"}
DETAILS = {
    "synch_date": "2026-03-02T07:45:00+00:00",
    "domain": "jag1.l.time4vps.cloud",
    "label": "web-1",
    "status": "Active",
    "cpu_cores": 2,
    "ram_limit": 4096,
    "disk_limit": "40960",
    "os": "kvm-ubuntu-24.04-gpt-x86_64",
    "ip": "203.0.113.20",
    "active_task": None,
    "last_tasks": None,
}
TASK = {
    "name": "server_recreate",
    "activated": "2026-03-02T08:00:00+00:00",
    "assigned": "2026-03-02T08:00:20+00:00",
    "completed": "",
    "results": "",
}
LISTED = ListedServer(900001, "203.0.113.20", "jag1.l.time4vps.cloud", "web-1")


@pytest.mark.parametrize("body", [[ROW], ROW, [ROW | {"server_id": "900001"}], [ROW | {"server_id": 900001.0}]])
def test_a_list_or_a_single_object_with_ids_of_any_type(body):
    assert wire.listed_servers(body) == [LISTED]


def test_an_empty_list_is_a_list():
    assert wire.listed_servers([]) == []


@pytest.mark.parametrize("ip", [None, "", "n/a", 0, [], "203.0.113.999"])
def test_no_address_is_none(ip):
    assert wire.listed_servers([ROW | {"ip": ip}])[0].public_ip is None
    assert wire.server_details(1, DETAILS | {"ip": ip}).public_ip is None


@pytest.mark.parametrize("server_id", [None, "", 0, -1, "abc", 12.5, True, [], {}, 10**40])
def test_a_list_with_one_bad_row_is_no_list(server_id):
    with pytest.raises(ProviderUnavailable):
        wire.listed_servers([ROW, ROW | {"server_id": server_id}])


@pytest.mark.parametrize("body", [None, "", 3, {}, {"error": []}, {"servers": []}, [[]], [None]])
def test_what_is_no_list_is_never_an_empty_one(body):
    with pytest.raises(ProviderUnavailable):
        wire.listed_servers(body)


def test_details():
    details = wire.server_details(900001, DETAILS)
    assert (details.server_id, details.public_ip, details.status) == (900001, "203.0.113.20", "Active")
    assert (details.cpu_cores, details.ram_mb, details.disk_mb) == (2, 4096, 40960)
    assert details.os_template == "kvm-ubuntu-24.04-gpt-x86_64"
    assert (details.active_task, details.last_tasks) == (None, ())


@pytest.mark.parametrize("body", [{}, {"error": None}, [], None, "x", {"success": True}])
def test_an_error_in_disguise_is_no_server(body):
    with pytest.raises(ProviderUnavailable):
        wire.server_details(1, body)


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_no_tasks_in_many_forms(empty):
    details = wire.server_details(1, DETAILS | {"active_task": empty, "last_tasks": empty, "os": empty})
    assert (details.active_task, details.last_tasks, details.os_template) == (None, (), None)


def test_tasks_of_details_oldest_first():
    first, second = TASK | {"name": "a"}, TASK | {"name": "b", "completed": "2026-03-02 09:00:00"}
    details = wire.server_details(1, DETAILS | {"active_task": TASK, "last_tasks": [first, second]})
    assert details.active_task is not None and not details.active_task.is_over
    assert [task.name for task in details.last_tasks] == ["a", "b"]
    single = wire.server_details(1, DETAILS | {"last_tasks": first})
    assert [task.name for task in single.last_tasks] == ["a"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02T08:00:00+02:00", datetime(2026, 3, 2, 6, tzinfo=UTC)),
        ("2026-03-02T08:00:00Z", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("2026-03-02 08:00:00", datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("yes", datetime(1970, 1, 1, tzinfo=UTC)),
        *[(empty, None) for empty in (None, "", "  ", 0, "0", False, "0000-00-00 00:00:00", [])],
    ],
)
def test_dates(text, moment):
    task = wire.task(TASK | {"completed": text})
    assert task.completed_at == moment
    assert task.is_over is (moment is not None)
    assert moment is None or task.completed_at.tzinfo is UTC


def test_a_result_is_secret():
    task = wire.task(TASK | {"results": "Password: planted"}, 7)
    assert task.task_id == 7
    assert task.result.get_secret_value() == "Password: planted"
    assert "planted" not in repr(task)


def test_os_templates():
    assert wire.os_templates([{"os": "debian-13", "title": "Debian 13"}, {"os": "", "title": "?"}]) == [
        OsTemplate("debian-13", "Debian 13")
    ]


@pytest.mark.parametrize(
    ("body", "task_id"),
    [({"task_id": 4951234}, 4951234), ({"task_id": "4951234"}, 4951234)]
    + [({"task_id": bad}, None) for bad in (None, "", 0, -5, "x", True, [], 1.5, 10**5000, "٣")]
    + [(body, None) for body in ({}, [], None, "ok", {"success": True})],
)
def test_task_ids(body, task_id):
    assert wire.task_id(body) == task_id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
READERS: list[Callable[[object], object]] = [
    wire.listed_servers,
    lambda body: wire.server_details(1, body),
    wire.os_templates,
    wire.task,
]


@pytest.mark.parametrize("read", READERS)
@given(data=st.data())
def test_no_answer_makes_them_raise_anything_else(read, data):
    shape = data.draw(st.sampled_from([ROW, DETAILS, TASK, {"os": "", "title": ""}]))
    body = shape | {field: data.draw(JSON) for field in data.draw(st.sets(st.sampled_from(sorted(shape))))}
    for answer in (data.draw(JSON), body, [body, body]):
        try:
            read(answer)
        except ProviderUnavailable as error:
            assert error.__context__ is None or error.__suppress_context__, "a traceback would show the answer"


def test_messages_do_not_show_what_was_received():
    with pytest.raises(ProviderUnavailable) as caught:
        wire.listed_servers([{"server_id": "planted"}])
    assert "planted" not in str(caught.value)
