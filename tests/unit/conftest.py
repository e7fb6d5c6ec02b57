"""Property tests: which they are, and how many histories are made up for each.

`HYPOTHESIS_PROFILE=nightly` (`make nightly`) makes up at least 5,000 for each, without a deadline.
"""

import os

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

settings.register_profile(
    "nightly",
    max_examples=5000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is checked over made-up histories is marked `properties`."""
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("properties")
