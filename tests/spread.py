"""How tests are spread over processes, and which begin first (docs/decisions/0020).

A file's tests stay together, for they may share a fleet that was made for the file. Those of some long files share
nothing, and go one by one to whichever process is free.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_BY_ONE = (
    "tests/integration/alerting/test_bot.py",
    "tests/integration/alerting/test_notifier.py",
    "tests/integration/faults/test_engine_faults.py",
    "tests/integration/faults/test_provider_faults.py",
    "tests/integration/faults/test_worker_killed.py",
    "tests/integration/healing/test_crashes.py",
    "tests/integration/healing/test_storms.py",
    "tests/integration/lab/test_daemon.py",
    "tests/integration/product/test_backup.py",
    "tests/integration/product/test_force_rebuild_script.py",
)
LONGEST_FIRST = (
    # contract
    "test_configuration_contract",
    # acceptance
    "test_scenarios",
    "test_storm_of_eight",
    "test_ready_host",
    "test_provision_playbook",
    "test_fleet",
    "test_deployments",
    "test_static_host",
    "test_following",
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
    "test_log_level",
    "test_daemon",
    "test_force_rebuild_script",
)
"""Files or tests, so that no process is left alone with a long one at the end. A name that is not here comes after."""


class Spreading(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out files, and tests one by one where they share nothing, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return nodeid if path in ONE_BY_ONE else path


def put_in_order(items: list[pytest.Item]) -> None:
    """The order in which they begin; within a file it stays. Raises `UsageError` for what cannot go one by one."""
    for item in items:
        if item.nodeid.partition("::")[0] in ONE_BY_ONE and (shared := _shared(item)):
            raise pytest.UsageError(f"{item.nodeid} shares {shared} with its file: take the file out of ONE_BY_ONE.")
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: _place(item, places))


def _place(item: pytest.Item, places: dict[str, int]) -> int:
    names = (getattr(item, "originalname", item.name), item.path.stem)
    return next((places[name] for name in names if name in places), len(places))


def _shared(item: pytest.Item) -> str:
    """A fixture of its that lives as long as its file; those of the whole session are made once in each process."""
    if not isinstance(item, pytest.Function):
        return ""
    made = item._fixtureinfo.name2fixturedefs  # pytest tells it in no other way
    return next((name for name, those in made.items() if those[-1].scope in ("class", "module", "package")), "")
