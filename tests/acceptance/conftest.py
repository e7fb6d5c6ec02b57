"""Which files begin first, so that no worker is left alone with a long one at the end."""

import pytest

LONGEST_FIRST = (
    "test_scenarios",
    "test_storm_of_eight",
    "test_ready_host",
    "test_provision_playbook",
    "test_fleet",
    "test_deployments",
    "test_static_host",
    "test_following",
    "test_playbook_safety",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Within a file the order stays. `make acceptance` tells xdist to keep it."""
    place = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
