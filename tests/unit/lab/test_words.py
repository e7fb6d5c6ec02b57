"""Paths, names, parameters, shapes, passwords: the pure parts."""

import html
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from lazaret.kernel.clock import ManualClock
from lazaret.kernel.errors import InvalidInput
from lazaret.lab import shapes
from lazaret.lab.account import Account, Gate
from lazaret.lab.calls import ACTIONS, Call, ProviderCall, parse_call
from lazaret.lab.environment import as_shell
from lazaret.lab.journal import Journal
from lazaret.lab.orders import Refusal, check_parameters
from lazaret.lab.servers import DEBIAN_13, CloudServer, default_hostname, server_id_of
from lazaret.lab.switches import AddressNotAllowed, Switchboard, Throttle, ThrottleWindow, WrongCredentials
from lazaret.lab.tasks import RECIPES, LabTask, Pace, new_password, password_text

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LOGIN = "Basic bWU6c2VjcmV0"  # me:secret


def make_server(**changes: object) -> CloudServer:
    values = {
        "server_id": 900001,
        "hostname": "jag1.l.time4vps.cloud",
        "label": "",
        "os": DEBIAN_13.os,
        "address": "192.0.2.1",
        "ssh_port": 22,
        "created_at": NOW,
        "root_password": SecretStr("planted"),
    }
    return CloudServer.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("GET", "/server", ProviderCall(Call.LIST)),
        ("GET", "/server/", ProviderCall(Call.LIST)),
        ("GET", "/server/900001", ProviderCall(Call.DETAILS, 900001)),
        ("GET", "/server/900001/task/4951001", ProviderCall(Call.TASK, 900001, "4951001")),
        ("GET", "/server/900001/task/server_reboot", ProviderCall(Call.TASK, 900001, "server_reboot")),
        ("POST", "/server/900001/resetpassword", ProviderCall(Call.RESET_PASSWORD, 900001, "resetpassword")),
        ("GET", "/server/900001/graphs/400", ProviderCall(Call.GRAPHS, 900001, "400")),
        ("GET", "/service/900001", ProviderCall(Call.SERVICE, 900001)),
        ("GET", "/server/900001/resetpassword", None),
        ("POST", "/server/900001", None),
        ("POST", "/server/900001/explode", None),
        ("GET", "/server/abc", None),
        ("GET", "/", None),
    ],
)
def test_paths(method, path, call):
    assert parse_call(method, path) == call


def test_every_action_has_a_recipe_and_nothing_else_has():
    assert set(RECIPES) == ACTIONS


def test_the_default_hostname_is_the_id_in_base_36():
    assert default_hostname(900001) == "jag1.l.time4vps.cloud"
    assert int(default_hostname(267179).split(".")[0], 36) == 267179


@pytest.mark.parametrize("handle", ["900001", "vps-", "vps-1a", "vps-\u0661", "host-1", ""])
def test_what_is_no_handle_is_refused(handle):
    with pytest.raises(InvalidInput):
        server_id_of(handle)


def test_a_handle_gives_the_id():
    assert server_id_of("vps-900001") == 900001


@pytest.mark.parametrize("scale", [0, -1, 11])
def test_time_never_stands_still(scale):
    with pytest.raises(ValueError, match="time scale"):
        Pace(scale)


@pytest.mark.parametrize(
    ("call", "sent", "accepted"),
    [
        (Call.REINSTALL, {"os": DEBIAN_13.os, "x": "y"}, {"os": DEBIAN_13.os}),
        (Call.WEB_CONSOLE, {"timeout": "1h", "whitelabel": "true"}, {"timeout": "1h", "whitelabel": "true"}),
        (Call.RENAME, {"hostname": "a.example.org"}, {"hostname": "a.example.org"}),
        (Call.CHANGE_DNS, {"ns1": "192.0.2.53", "ns2": ""}, {"ns1": "192.0.2.53"}),
        (
            Call.CHANGE_PTR,
            {"ip_address": "192.0.2.9", "hostname": "a.example.org"},
            {"ip_address": "192.0.2.9", "hostname": "a.example.org"},
        ),
        (Call.REBOOT, {"anything": "goes"}, {}),
    ],
)
def test_orders_that_are_accepted(call, sent, accepted):
    server = make_server(additional_ips=["192.0.2.9"])
    assert check_parameters(call, sent, server=server, templates=[DEBIAN_13]) == accepted


@pytest.mark.parametrize(
    ("call", "sent", "reason"),
    [
        (Call.REINSTALL, {}, "Missing parameter os"),
        (Call.REINSTALL, {"os": "kvm-plan9"}, "Invalid OS template"),
        (Call.WEB_CONSOLE, {"timeout": "2h", "whitelabel": "true"}, "Invalid timeout"),
        (Call.WEB_CONSOLE, {"timeout": "1h", "whitelabel": "True"}, "Invalid whitelabel"),
        (Call.RENAME, {"hostname": "no spaces.org"}, "Invalid hostname"),
        (Call.CHANGE_PTR, {"ip_address": "192.0.2.1", "hostname": "a.example.org"}, "Invalid IP address"),
        (Call.CHANGE_DNS, {"ns1": "dns"}, "Invalid DNS server"),
    ],
)
def test_orders_that_are_refused(call, sent, reason):
    with pytest.raises(Refusal, match=reason):
        check_parameters(call, sent, server=make_server(), templates=[DEBIAN_13])


def test_the_list_has_no_status_and_the_details_have_no_id():
    server = make_server()
    assert "status" not in shapes.listed(server) and shapes.listed(server)["server_id"] == 900001
    details = shapes.details(server, NOW)
    assert "server_id" not in details and details["status"] == "Active"
    assert (details["active_task"], details["last_tasks"], details["dns_servers"]) == (None, None, None)


def test_a_task_has_no_id_and_empty_strings_for_what_is_not_yet():
    task = LabTask(task_id=4951001, call=Call.REINSTALL, activated=NOW)
    assert shapes.task(task) == {
        "name": "server_recreate",
        "activated": "2026-03-02T08:00:00+00:00",
        "assigned": "",
        "completed": "",
        "results": "",
    }


def test_details_tell_the_active_task_and_the_finished_ones_oldest_first():
    finished = [
        LabTask(task_id=1, call=Call.REBOOT, activated=NOW, completed=NOW),
        LabTask(task_id=2, call=Call.RENAME, activated=NOW, completed=NOW),
    ]
    running = LabTask(task_id=3, call=Call.REINSTALL, activated=NOW)
    details = shapes.details(make_server(tasks=[*finished, running]), NOW)
    assert details["active_task"] == {"name": "server_recreate", "activated": "2026-03-02T08:00:00+00:00"}
    assert [task["name"] for task in details["last_tasks"]] == ["server_reboot", "server_domain"]


def test_variants_of_an_answer():
    body = [{"server_id": 900001, "label": "", "at": "2026-03-02T08:00:00+00:00", "tags": [""]}]
    assert shapes.with_nulls(body)[0]["label"] is None
    assert shapes.with_string_ids(body)[0]["server_id"] == "900001"
    assert shapes.with_space_dates(body)[0]["at"] == "2026-03-02 08:00:00"
    assert shapes.as_single_object(body) == body[0]
    assert shapes.as_single_object([1, 2]) == [1, 2]
    assert body[0]["label"] == ""  # the original is left alone


def test_the_password_of_a_result_is_escaped_and_an_awkward_one_survives_unescaping():
    password = new_password(awkward=True)
    text = password_text(password, form="html", hostname="h", address="a").get_secret_value()
    hidden = text.split('innerHTML = "')[1].split('"')[0]
    assert hidden != password.get_secret_value()
    assert html.unescape(hidden) == password.get_secret_value()


def test_secrets_hide_in_reprs_and_are_kept_in_the_state_file():
    server = make_server(
        tasks=[
            LabTask(
                task_id=1,
                call=Call.REBOOT,
                activated=NOW,
                new_password=SecretStr("planted"),
                results=SecretStr("planted"),
            )
        ]
    )
    assert "planted" not in repr(server) + str(server)
    again = CloudServer.model_validate_json(server.model_dump_json())
    assert again == server and again.root_password.get_secret_value() == "planted"


def gate_with(*switches: object) -> tuple[Gate, ManualClock]:
    clock = ManualClock()
    board = Switchboard(clock)
    for switch in switches:
        board.set(switch)
    return Gate(Account("me", SecretStr("secret")), board, clock), clock


def test_a_right_login_is_let_in():
    gate, _ = gate_with()
    assert gate.refusal(LOGIN, ProviderCall(Call.LIST)) is None


@pytest.mark.parametrize("header", ["Basic bWU6d3Jvbmc=", "Bearer bWU6c2VjcmV0", "Basic !!", "Basic", ""])
def test_a_wrong_login_is_named_as_such(header):
    gate, _ = gate_with()
    assert gate.refusal(header, None) == {"error": ["wronglogin", "unauthorized"]}


def test_no_login_at_all():
    gate, _ = gate_with()
    assert gate.refusal(None, None) == {"error": ["unauthorized"]}


def test_login_comes_before_address_and_address_before_throttle():
    gate, _ = gate_with(WrongCredentials(times=1), AddressNotAllowed(times=1), Throttle(wait_s=24, times=1))
    answers = [gate.refusal(LOGIN, ProviderCall(Call.LIST)) for _ in range(4)]
    assert answers == [
        {"error": ["wronglogin", "unauthorized"]},
        {"error": ["ipnotallowed", "unauthorized"]},
        {"error": [["wait_x_between_action", 24], "unauthorized"]},
        None,
    ]


def test_a_timed_throttle_announces_what_is_left_of_it():
    gate, clock = gate_with(Throttle(for_s=60))
    clock.advance(48.5)
    assert gate.refusal(LOGIN, None) == {"error": [["wait_x_between_action", 12], "unauthorized"]}
    clock.advance(12)
    assert gate.refusal(LOGIN, None) is None


def test_an_endless_throttle_announces_5_to_60_seconds():
    gate, _ = gate_with(Throttle())
    waits = {gate.refusal(LOGIN, None)["error"][0][1] for _ in range(300)}
    assert min(waits) >= 5 and max(waits) <= 60 and len(waits) > 10


def test_the_sliding_window_lets_so_many_calls_in_and_opens_again():
    gate, clock = gate_with(ThrottleWindow(calls=3, window_s=60))
    assert [gate.refusal(LOGIN, None) is None for _ in range(4)] == [True, True, True, False]
    clock.advance(50)
    assert gate.refusal(LOGIN, None)["error"][0] == ["wait_x_between_action", 10]
    clock.advance(10)
    assert gate.refusal(LOGIN, None) is None


def test_the_journal_filters_and_survives_a_cut_last_line(tmp_path):
    clock, path = ManualClock(), tmp_path / "journal.jsonl"
    journal = Journal(clock, path)
    journal.call(Call.RESET_PASSWORD, 900001, "accepted", task_id=5)
    clock.advance(3)
    journal.effect("resetpassword", 900001, "done", task_id=5)
    with path.open("a") as file:
        file.write('\n{"seq": 3, "at"')
    again = Journal(clock, path)
    again.control("power-off", 900002)
    assert [entry.seq for entry in again.entries()] == [1, 2, 3]
    assert again.entries(kind="effect", server_id=900001)[0].at - again.entries()[0].at == timedelta(seconds=3)
    assert [entry.action for entry in again.entries(after=2)] == ["power-off"]
    assert [entry.action for entry in Journal(clock, path).entries()] == ["resetpassword", "resetpassword", "power-off"]


def test_shell_lines_are_quoted():
    assert as_shell({"A": "x y'z", "B": "1"}) == "export A='x y'\"'\"'z'\nexport B=1\n"
