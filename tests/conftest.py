"""What holds for all tests: how they are spread over processes, which are property tests, and how long those try.

`HYPOTHESIS_PROFILE=nightly` (`make nightly`) makes up at least 5,000 for each. There is no deadline per history: what
a busy machine does in 200 ms says nothing about the property.
"""

import gc
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.spread import Spreading, put_in_order

settings.register_profile(
    "nightly",
    max_examples=5000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("quick", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spreading:
    """Of every run in several processes, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return Spreading(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is checked over made-up histories is marked `properties`."""
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("properties")
    put_in_order(items)


def pytest_collection_finish() -> None:
    """What was loaded until now stays to the end: to look through it for garbage again and again is for nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
