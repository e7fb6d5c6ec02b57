"""Names and addresses of a lab of real hosts: the same each time, and nobody else's."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lazaret.kernel.errors import Conflict, Misconfigured
from lazaret.lab.network import choose_number, choose_subnet, lab_tag

TAG = lab_tag("lab", Path("/var/lab"))


def test_a_lab_has_the_same_subnet_each_time_and_another_lab_another() -> None:
    assert choose_subnet(TAG, []) == choose_subnet(TAG, [])
    assert choose_subnet(TAG, []) != choose_subnet(lab_tag("lab2", Path("/var/lab")), [])
    assert choose_subnet(TAG, []).subnet_of(IPv4Network("10.64.0.0/10"))


@pytest.mark.parametrize("prefix", [8, 16, 23, 24, 25, 32])
def test_a_subnet_that_is_in_use_is_avoided(prefix: int) -> None:
    first = choose_subnet(TAG, [])
    taken = IPv4Network((int(first.network_address) >> (32 - prefix) << (32 - prefix), prefix))
    assert not choose_subnet(TAG, [taken]).overlaps(taken)


def test_a_machine_without_room_is_told_so() -> None:
    with pytest.raises(Misconfigured):
        choose_subnet(TAG, [IPv4Network("0.0.0.0/0")])


def test_labs_of_one_name_in_two_places_are_two_labs() -> None:
    assert lab_tag("lab", Path("/home/a")) != lab_tag("lab", Path("/home/b"))


def test_the_longest_interface_name_fits_the_kernel() -> None:
    assert len(f"lz{TAG}h254") <= 15


def test_hosts_get_different_numbers_until_the_net_is_full() -> None:
    taken: list[int] = []
    for handle_id in range(900001, 900001 + 253):
        taken.append(choose_number(handle_id, taken))
    assert sorted(taken) == list(range(2, 255))
    with pytest.raises(Conflict):
        choose_number(900300, taken)
