"""Which tests run side by side, and which begin first (docs/decisions/0020).

Tests of a file that share something made for the whole file, a fleet for example, stay together in one process. All
others share nothing, and go one by one to whichever process is free.
"""

import pytest

LONGEST_FIRST = (
    # acceptance
    "test_scenarios",
    "test_storm_of_eight",
    "test_ready_host",
    "test_provision_playbook",
    "test_fleet",
    "test_deployments",
    "test_static_host",
    "test_following",
    "test_playbook_safety",
    # integration
    "test_nothing_forgotten",
    "test_recovery",
    "test_storms",
    "test_a_new_machine_watches_the_same_fleet_and_touches_nothing",
    "test_static_hosts",
    "test_crashes",
    "test_worker_killed",
    "test_an_hour_without_telegram_in_a_storm_of_300_incidents",
    "test_provisioning",
    "test_a_host_on_every_channel",
    "test_wheel",
    "test_provider_faults",
    "test_daemon",
    "test_force_rebuild_script",
)
"""Files or tests, so that no process is left alone with a long one at the end. A name that is not here comes after."""


def spread(items: list[pytest.Item]) -> None:
    """Mark what stays together and bring all into the order in which it begins; within a file the order stays."""
    for item in items:
        if _shares_something(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: _place(item, places))


def _place(item: pytest.Item, places: dict[str, int]) -> int:
    names = (getattr(item, "originalname", item.name), item.path.stem)
    return next((places[name] for name in names if name in places), len(places))


def _shares_something(item: pytest.Item) -> bool:
    """Whether a fixture of its lives as long as its file; those of the whole session are made once in each process."""
    if not isinstance(item, pytest.Function):
        return False
    made = item._fixtureinfo.name2fixturedefs  # pytest tells it in no other way
    return any(definitions[-1].scope in ("class", "module", "package") for definitions in made.values())
