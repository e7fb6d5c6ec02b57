"""The table of faults, its words, and the book of those that are on."""

import pytest

from lazaret.kernel.errors import Conflict, InvalidInput, NotFound
from lazaret.lab.faults import FAULTS, fault_named, parse_parameters
from lazaret.lab.real_faults import PLAYS as REAL_PLAYS
from lazaret.lab.servers import ActiveFault
from lazaret.lab.simulated_faults import PLAYS as SIMULATED_PLAYS
from lazaret.lab.store import ServerStore
from lazaret.lab.wire import Wire, drop_program, filters_of


def test_each_row_says_who_plays_it_and_they_do():
    for kind, plays in (("real", REAL_PLAYS), ("simulated", SIMULATED_PLAYS)):
        told = {fault.name for fault in FAULTS.values() if kind in fault.hosts}
        assert told == {"power_off", *plays}


def test_each_row_can_be_read_by_an_operator():
    for fault in FAULTS.values():
        row = fault.as_json()
        assert row["help"].endswith(".") and "heal" in row["ends_with"]
        assert all(row["parameters"].values()), "each parameter has its sentence"


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("cut", {}, {"direction": "both"}),
        ("cut", {"direction": "in"}, {"direction": "in"}),
        ("loss", {"percent": "12.5"}, {"percent": 12.5}),
        ("delay", {"ms": "200"}, {"ms": 200}),
        ("disk_full", {}, {"percent": 98}),
        ("lock_out", {}, {"port": 22}),
        ("container_crashed", {"container": "web-web-1"}, {"container": "web-web-1"}),
        ("hang", {}, {}),
    ],
)
def test_parameters_have_defaults_and_may_come_as_text(name, given, wanted):
    assert parse_parameters(fault_named(name), given) == wanted


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cut", {"direction": "up"}, "in, out or both"),
        ("loss", {}, "percent"),
        ("loss", {"percent": 0}, "above 0 to 100"),
        ("loss", {"percent": 101}, "above 0 to 100"),
        ("delay", {"ms": "soon"}, "milliseconds"),
        ("disk_full", {"percent": 0}, "free space"),
        ("lock_out", {"port": 70000}, "TCP port"),
        ("container_crashed", {"container": "a; reboot"}, "name or id"),
        ("hang", {"for": 3}, "no parameters"),
    ],
)
def test_wrong_parameters_tell_what_is_possible(name, given, said):
    with pytest.raises(InvalidInput, match=said):
        parse_parameters(fault_named(name), given)


def test_an_unknown_fault_names_all_that_there_are():
    with pytest.raises(InvalidInput) as refused:
        fault_named("gremlins")
    assert all(name in str(refused.value) for name in FAULTS)


def test_what_is_sent_by_the_host_comes_in_at_our_end_of_the_cable():
    assert filters_of(Wire()) == {}
    assert list(filters_of(Wire(cut="out"))) == ["ingress"]
    assert list(filters_of(Wire(cut="in"))) == ["egress"]
    assert list(filters_of(Wire(cut="both"))) == ["ingress", "egress"]


def test_a_cut_wins_over_loss_where_it_holds():
    found = filters_of(Wire(cut="in", loss_percent=50))
    assert found == {"ingress": drop_program(chance=0.5), "egress": drop_program(chance=1)}
    assert f"37 1 0 {1 << 31}," in found["ingress"]


def test_a_fault_is_told_without_what_healing_it_takes():
    fault = ActiveFault(name="lock_out", parameters={"port": 22}, memory="secret")
    assert str(fault) == "lock_out port=22" and "secret" not in repr(fault)


async def test_a_host_that_plays_nothing_can_still_lose_its_power(account):
    server = await account.cloud.add_server()
    host = account.rack.hosts[server.server_id]
    with pytest.raises(Conflict, match="power_off"):
        await account.cloud.inflict(server.server_id, "hang")
    await account.cloud.inflict(server.server_id, "power_off")
    assert (host.is_on, server.is_powered) == (False, False)
    with pytest.raises(Conflict, match="already"):
        await account.cloud.inflict(server.server_id, "power_off")
    assert await account.cloud.heal(server.server_id) == ["power_off"]
    assert (host.is_on, server.is_powered) == (True, True)
    with pytest.raises(NotFound, match="no fault"):
        await account.cloud.heal(server.server_id, "power_off")
    notes = [(one.action, one.note) for one in account.journal.entries(kind="control")]
    assert notes == [("add", ""), ("fault", "power_off"), ("heal", "power_off")]


async def test_power_that_came_back_by_itself_is_struck_out(account):
    server = await account.cloud.add_server()
    await account.cloud.inflict(server.server_id, "power_off")
    await account.cloud.power_on(server.server_id)
    assert await account.cloud.faults(server.server_id) == []
    assert [one.note for one in account.journal.entries(action="fault-over")] == ["power_off"]


async def test_a_later_process_knows_what_is_on(make_account, tmp_path):
    first = make_account(store=ServerStore(tmp_path))
    server = await first.cloud.add_server()
    await first.cloud.inflict(server.server_id, "power_off")
    second = make_account(store=ServerStore(tmp_path), rack=first.rack)
    await second.cloud.resume()
    assert [fault.name for fault in await second.cloud.faults(server.server_id)] == ["power_off"]
    assert not first.rack.hosts[server.server_id].is_on
