"""The registry of providers, the operator's lists, and pins that the operator names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.adapters.static import StaticProvider
from lazaret.adapters.time4vps import Time4VPSClient
from lazaret.entrypoints.providers import permissions_of
from lazaret.kernel.settings import load_settings
from lazaret.servers.permissions import Permissions
from lazaret.servers.pins import pins_after
from lazaret.servers.registry import KINDS, STATIC, TIME4VPS, cannot_of, capabilities_of, kind_of
from lazaret.servers.store import handle_of

CLIENTS = {TIME4VPS: Time4VPSClient, STATIC: StaticProvider}


def test_every_provider_of_the_registry_has_its_client_and_both_agree() -> None:
    assert set(CLIENTS) == set(KINDS)
    for kind, client in CLIENTS.items():
        assert (client.name, client.capabilities) == (kind.name, kind.capabilities)
        assert set(client.task_names) == kind.capabilities, "each action's task is found again by its name"
        assert "{id}" in kind.how_to_allow


def test_handles_of_two_providers_never_collide() -> None:
    assert len({kind.handle_prefix for kind in KINDS}) == len(KINDS) == len({kind.name for kind in KINDS})
    assert not any("-" in kind.handle_prefix for kind in KINDS), "else vps-1-2 could be of two providers"
    assert handle_of("time4vps", 7) == "vps-7" and handle_of("static", 7) == "host-7"


def test_an_unknown_provider_can_nothing_and_allows_nothing() -> None:
    assert not capabilities_of("hetzner") and len(cannot_of("hetzner")) == 4
    assert kind_of("hetzner").handle_prefix == "hetzner"
    assert not Permissions({"time4vps": lambda: {1}}).ids_of("hetzner")


def test_an_id_counts_for_its_own_provider_only(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "hosts.yml"
    path.write_text("hosts: [{id: 8, name: a, address: 203.0.113.8, managed: true}]")
    settings = load_settings({"TIME4VPS_MANAGED_SERVER_IDS": "7", "LAZARET_STATIC_HOSTS_FILE": str(path)})
    permissions = permissions_of(settings)
    assert (set(permissions.ids_of("time4vps")), set(permissions.ids_of("static"))) == ({7}, {8})
    path.write_text("hosts: [")
    assert (set(permissions.ids_of("time4vps")), set(permissions.ids_of("static"))) == ({7}, set())
    without = permissions_of(load_settings({"TIME4VPS_MANAGED_SERVER_IDS": "7"}))
    assert not without.ids_of("static")


@pytest.mark.parametrize(
    ("pinned", "named", "kept", "another"),
    [
        ([], [], (), False),
        (["a"], [], ("a",), False),
        ([], ["b"], ("b",), False),
        (["a", "c"], ["a"], ("a",), False),
        (["a"], ["a", "b"], ("a", "b"), False),
        (["a"], ["b"], ("b",), True),
    ],
)
def test_pins_named_by_the_operator(pinned: list[str], named: list[str], kept: tuple[str, ...], another: bool) -> None:
    pins = pins_after(pinned, named)
    assert (pins.host_keys, pins.is_another_machine) == (kept, another)


KEYS = st.lists(st.sampled_from("abcd"), max_size=3, unique=True)


@given(KEYS, KEYS)
def test_pins_are_never_lost_and_only_strangers_are_another_machine(pinned: list[str], named: list[str]) -> None:
    pins = pins_after(pinned, named)
    assert bool(pins.host_keys) == bool(pinned or named)
    assert pins.is_another_machine == bool(pinned and named and not set(pinned) & set(named))
    assert pins_after(pins.host_keys, named).is_another_machine is False, "told once"
