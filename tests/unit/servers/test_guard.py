"""Safety rule 1: nothing is touched unless it is listed by id, in service, not held, and the same machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.servers.guard import Target, TouchRefused, require_same_machine, require_touchable
from lazaret.servers.provider import ServerDetails
from lazaret.servers.status import ServerStatus

IDS = st.integers(1, 5)
ADDRESSES = st.one_of(st.none(), st.sampled_from(["", "203.0.113.1", "203.0.113.2"]))
TARGETS = st.builds(
    Target,
    handle=st.just("vps-1"),
    provider=st.sampled_from(["time4vps", "static"]),
    provider_id=IDS,
    public_ip=ADDRESSES,
    is_managed=st.booleans(),
    status=st.sampled_from(ServerStatus),
)


def is_allowed(call) -> bool:  # type: ignore[no-untyped-def]
    try:
        call()
    except TouchRefused as refused:
        assert refused.message and refused.hint
        return False
    return True


@given(TARGETS, st.frozensets(IDS), st.lists(st.text(), max_size=2))
def test_touchable_only_when_every_rule_allows(target: Target, managed: frozenset[int], holds: list[str]) -> None:
    allowed = is_allowed(lambda: require_touchable(target, managed_ids=managed, holds=holds))
    parked = target.status in {ServerStatus.RESERVED, ServerStatus.DECOMMISSIONED}
    assert allowed == (target.provider_id in managed and target.is_managed and not parked and not holds)


@given(TARGETS)
def test_an_empty_list_manages_nothing(target: Target) -> None:
    assert not is_allowed(lambda: require_touchable(target, managed_ids=()))


@given(TARGETS, IDS, ADDRESSES)
def test_the_same_machine_by_id_and_address(target: Target, server_id: int, address: str | None) -> None:
    seen = ServerDetails(server_id, address, "h", "", "Active", None, None, None, None)
    same = server_id == target.provider_id and bool(target.public_ip) and address == target.public_ip
    assert is_allowed(lambda: require_same_machine(target, seen)) == same


@pytest.mark.parametrize(
    ("provider", "cure"), [("time4vps", "TIME4VPS_MANAGED_SERVER_IDS"), ("static", "managed: true")]
)
def test_the_refusal_names_the_cure(provider: str, cure: str) -> None:
    target = Target("vps-7", provider, 7, "203.0.113.1", False, ServerStatus.RESERVED)
    with pytest.raises(TouchRefused) as refused:
        require_touchable(target, managed_ids={8})
    assert cure in refused.value.hint and "7" in refused.value.hint
