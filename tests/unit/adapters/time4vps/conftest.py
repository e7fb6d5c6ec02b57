"""A client whose provider answers from a list, on a clock that only moves when told."""

import httpx
import pytest
from pydantic import SecretStr
from tests.unit.adapters.time4vps.canned import PASSWORD, CannedProvider

from lazaret.adapters.time4vps import Time4VPSClient
from lazaret.kernel.clock import ManualClock
from lazaret.servers.call_budget import InMemoryCallBudget, Rate


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def canned() -> CannedProvider:
    return CannedProvider()


@pytest.fixture
def client(canned: CannedProvider, clock: ManualClock) -> Time4VPSClient:
    return Time4VPSClient(
        base_url="https://provider.test/api/",
        login="me@example.org",
        password=SecretStr(PASSWORD),
        budget=InMemoryCallBudget(clock, Rate(burst=1000, per_s=100, reserve=3)),
        clock=clock,
        poll_interval_s=5,
        transport=httpx.MockTransport(canned),
    )
