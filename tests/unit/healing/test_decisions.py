"""The decisions of healing: storms, budgets, ladders; and the safety rules as properties of every history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.healing.budget import MOST_IN_FLIGHT, MOST_PER_DAY, Allowed, Blocked, Limits, Spent, may_begin
from lazaret.healing.diagnosis import Facts, Plan, is_other_trouble, looks_needed, plan_for
from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.healing.storm import StormState, is_over_the_line, judge_storm
from lazaret.probing.fleet import AnchorState, judge_fleet
from lazaret.probing.rules import Rules
from lazaret.probing.symptoms import Condition
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules()
EVERYTHING = frozenset(Capability)
FACTS = st.builds(
    Facts,
    capabilities=st.frozensets(st.sampled_from(list(Capability))),
    rebuild_policy=st.sampled_from(list(RebuildPolicy)),
    has_services=st.booleans(),
    services_answer=st.booleans(),
    provider_says_reinstalled_by_others=st.booleans(),
    senses_agree=st.integers(0, 4),
    flapping=st.booleans(),
    tried=st.frozensets(st.sampled_from(list(Remedy))),
)
CONDITIONS = st.sampled_from(list(Condition))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def plan(condition: Condition, **facts: object) -> list[str]:
    given_facts = {"capabilities": EVERYTHING, "rebuild_policy": RebuildPolicy.ASK, **facts}
    made = plan_for(condition, Facts(**given_facts))  # type: ignore[arg-type]
    return [f"{rung.remedy}{'?' if rung.needs_approval else ''}" for rung in made.rungs]


@pytest.mark.parametrize(
    ("condition", "facts", "ladder"),
    [
        (Condition.SILENT, {}, ["flush_firewall", "reboot", "provision_again", "reinstall?", "human"]),
        (
            Condition.SILENT,
            {"rebuild_policy": RebuildPolicy.NEVER},
            ["flush_firewall", "reboot", "provision_again", "human"],
        ),
        (
            Condition.SILENT,
            {"rebuild_policy": RebuildPolicy.AUTO, "senses_agree": 2},
            ["flush_firewall", "reboot", "provision_again", "reinstall", "human"],
        ),
        (
            Condition.SILENT,
            {"rebuild_policy": RebuildPolicy.AUTO, "senses_agree": 1},
            ["flush_firewall", "reboot", "provision_again", "reinstall?", "human"],
        ),
        (Condition.SILENT, {"flapping": True}, ["human"]),
        (Condition.SILENT, {"capabilities": frozenset()}, ["human"]),
        (Condition.SILENT, {"capabilities": {Capability.REBOOT}}, ["reboot", "provision_again", "human"]),
        (Condition.LOGIN_REFUSED, {"capabilities": frozenset()}, ["provision_again", "human"]),
        (Condition.DOCKER_DOWN, {"capabilities": frozenset()}, ["restart_docker", "provision_again", "human"]),
        (
            Condition.FILTERED,
            {"services_answer": True},
            ["flush_firewall", "reboot?", "provision_again", "reinstall?", "human"],
        ),
        (Condition.NO_BANNER, {}, ["reboot", "provision_again", "reinstall?", "human"]),
        (Condition.LOGIN_REFUSED, {}, ["provision_again", "reinstall?", "human"]),
        (Condition.HOST_KEY_CHANGED, {}, ["human"]),
        (Condition.HOST_KEY_CHANGED, {"provider_says_reinstalled_by_others": True}, ["reinstall?", "human"]),
        (
            Condition.HOST_KEY_CHANGED,
            {"provider_says_reinstalled_by_others": True, "rebuild_policy": RebuildPolicy.NEVER},
            ["human"],
        ),
        (Condition.DOCKER_DOWN, {}, ["restart_docker", "provision_again", "reboot", "human"]),
        (Condition.DISK_FULL, {}, ["free_disk", "human"]),
        (Condition.SERVICE_DOWN, {}, ["restart_service", "human"]),
        (Condition.FIREWALL_OFF, {}, ["provision_again", "human"]),
        (Condition.MEMORY_EXHAUSTED, {}, ["human"]),
    ],
)
def test_each_condition_has_its_ladder(condition: Condition, facts: dict[str, object], ladder: list[str]) -> None:
    assert plan(condition, **facts) == ladder


def _reinstalls(made: Plan) -> list[bool]:
    return [rung.needs_approval for rung in made.rungs if rung.remedy is Remedy.REINSTALL]


@given(CONDITIONS, FACTS)
def test_no_reinstall_by_itself_without_auto_and_two_senses(condition: Condition, facts: Facts) -> None:
    for needs_approval in _reinstalls(plan_for(condition, facts)):
        assert facts.rebuild_policy is not RebuildPolicy.NEVER
        assert needs_approval or (facts.rebuild_policy is RebuildPolicy.AUTO and facts.senses_agree > 1)


@given(CONDITIONS, FACTS)
def test_a_ladder_ends_with_a_person_and_asks_for_nothing_that_cannot_be_done(
    condition: Condition, facts: Facts
) -> None:
    rungs = plan_for(condition, facts).rungs
    assert rungs[-1].remedy is Remedy.HUMAN
    for rung in rungs:
        needed = REMEDIES[rung.remedy].needs
        assert needed is None or needed in facts.capabilities or rung.remedy is Remedy.PROVISION_AGAIN
    assert len({rung.remedy for rung in rungs}) == len(rungs)


@given(CONDITIONS, FACTS)
def test_nothing_is_left_out_silently(condition: Condition, facts: Facts) -> None:
    """Every rung that a provider of all abilities would have is climbed or named, unless the policy forbids it."""
    made = plan_for(condition, facts)
    climbed, named = {rung.remedy for rung in made.rungs}, {one.remedy for one in made.left_out}
    assert not climbed & named
    assert all(one.because for one in made.left_out)
    able = plan_for(condition, replace(facts, capabilities=EVERYTHING))
    never = {Remedy.REINSTALL} if facts.rebuild_policy is RebuildPolicy.NEVER else set()
    if condition is not Condition.HOST_KEY_CHANGED:
        assert {rung.remedy for rung in able.rungs} - never <= climbed | named
    assert not able.left_out


OUTCOMES = st.sampled_from(["", "", "helped", "failed"])


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 12), st.floats(0, 200), OUTCOMES), max_size=40))
def test_in_a_storm_one_goes_alone_after_quiet_and_the_others_only_when_it_came_back(
    total: int, history: list[tuple[int, float, str]]
) -> None:
    state: StormState | None = None
    now, last_bad = 0.0, 0.0
    worst = 0
    for unwell, pause, outcome in history:
        now += pause
        before = state
        state = judge_storm(min(unwell, total), total, before, at(now), RULES)
        begins = before is None or not (before.active or before.released)
        if begins or min(unwell, total) > worst:
            last_bad, worst = now, min(unwell, total)
        if not state.active:
            continue
        if state.canary_allowed:
            assert now - last_bad >= RULES.storm_quiet_s - 0.001, state.because
            if outcome:
                state = state.with_canary("vps-1").after_canary(helped=outcome == "helped", at=at(now))
                assert state.active is (outcome == "failed")
                assert not state.canary_allowed
                last_bad = now


@given(st.integers(2, 12), st.lists(st.tuples(st.integers(1, 12), st.floats(0, 200), st.booleans()), max_size=40))
def test_no_storm_waits_for_a_canary_that_is_gone(total: int, history: list[tuple[int, float, bool]]) -> None:
    """Every storm has an exit: whatever became of a canary, another may go after a quiet time."""
    state: StormState | None = None
    now, unwell = 0.0, 0
    for count, pause, takes_the_canary in history:
        now, unwell = now + pause, min(count, total)
        state = judge_storm(unwell, total, state, at(now), RULES)
        if takes_the_canary and state.active and state.canary_allowed and state.canary is None:
            state = state.with_canary("vps-1")
    if state is None or not state.active:
        return
    if state.canary is not None:
        state = state.without_canary(at(now))
        assert not judge_storm(unwell, total, state, at(now + 1), RULES).canary_allowed
    later = judge_storm(unwell, total, state, at(now + RULES.storm_quiet_s), RULES)
    assert not later.active or (later.canary_allowed and later.canary is None)


@given(FACTS)
def test_a_changed_host_key_is_never_answered_on_the_host(facts: Facts) -> None:
    remedies = {rung.remedy for rung in plan_for(Condition.HOST_KEY_CHANGED, facts).rungs}
    assert remedies <= {Remedy.REINSTALL, Remedy.HUMAN}


@given(CONDITIONS, FACTS)
def test_nothing_is_tried_twice_because_the_trouble_changed_its_face(condition: Condition, facts: Facts) -> None:
    again = {rung.remedy for rung in plan_for(condition, facts).rungs} & facts.tried
    assert again <= {Remedy.HUMAN}


@pytest.mark.parametrize(
    ("planned_for", "seen", "other"),
    [
        (Condition.SILENT, {Condition.SILENT}, False),
        (Condition.SILENT, {Condition.REFUSED}, False),
        (Condition.SILENT, {Condition.HOST_KEY_CHANGED}, True),
        (Condition.SILENT, {Condition.LOGIN_REFUSED}, True),
        (Condition.LOGIN_REFUSED, {Condition.SILENT}, True),
        (Condition.DISK_FULL, {Condition.DISK_FULL, Condition.DOCKER_DOWN}, False),
        (Condition.DISK_FULL, set(), False),
    ],
)
def test_a_plan_is_for_the_trouble_that_it_was_made_for(
    planned_for: Condition, seen: set[Condition], other: bool
) -> None:
    assert is_other_trouble(planned_for, seen) is other


@given(CONDITIONS, st.frozensets(CONDITIONS), st.booleans())
def test_one_look_overturns_no_plan_and_what_confirms_it_needs_no_other(
    planned_for: Condition, seen: frozenset[Condition], hung_up: bool
) -> None:
    looks = looks_needed(planned_for, seen, hung_up=hung_up)
    assert looks > 1 if hung_up or is_other_trouble(planned_for, seen) else looks == 1
    assert looks_needed(None, seen, hung_up=False) == 1, "without a plan there is nothing to overturn"


@given(CONDITIONS, FACTS)
def test_services_that_answer_are_not_interrupted_without_a_word(condition: Condition, facts: Facts) -> None:
    for rung in plan_for(condition, facts).rungs:
        if rung.remedy is Remedy.REBOOT and facts.services_answer:
            assert rung.needs_approval


# --- budgets

USES = st.lists(
    st.builds(
        Spent,
        st.sampled_from(list(MOST_PER_DAY)),
        st.just("vps-1"),
        st.floats(0, 200_000, allow_nan=False).map(at),
    ),
    max_size=40,
)


@given(st.lists(st.tuples(st.sampled_from(list(MOST_PER_DAY)), st.floats(0, 90_000, allow_nan=False)), max_size=60))
def test_no_history_gets_more_than_the_day_allows(wishes: list[tuple[Remedy, float]]) -> None:
    spent: list[Spent] = []
    for remedy, seconds in sorted(wishes, key=lambda wish: wish[1]):
        if isinstance(may_begin(remedy, spent, 0, at(seconds), Limits()), Allowed):
            spent.append(Spent(remedy, "vps-1", at(seconds)))
    for remedy, most in MOST_PER_DAY.items():
        uses = [use.at for use in spent if use.remedy is remedy]
        for begin in uses:
            assert sum(begin <= use < begin + timedelta(hours=24) for use in uses) <= most


@given(USES, st.integers(0, 10), st.sampled_from(list(MOST_PER_DAY)), st.integers(-5, 50))
def test_configuration_lowers_limits_and_never_raises_them(
    spent: list[Spent], in_flight: int, remedy: Remedy, wish: int
) -> None:
    now = at(200_000)
    generous = may_begin(remedy, spent, in_flight, now, Limits(in_flight=100, per_day={remedy: wish}))
    built_in = may_begin(remedy, spent, in_flight, now, Limits())
    if isinstance(built_in, Blocked):
        assert isinstance(generous, Blocked)
    if in_flight >= MOST_IN_FLIGHT:
        assert isinstance(generous, Blocked)


@given(USES, st.sampled_from(list(MOST_PER_DAY)))
def test_a_spent_day_is_told_to_a_person_and_a_rest_is_waited_for(spent: list[Spent], remedy: Remedy) -> None:
    now = at(200_000)
    answer = may_begin(remedy, spent, 0, now, Limits())
    today = [one for one in spent if one.remedy is remedy and now - one.at < timedelta(hours=24)]
    if isinstance(answer, Blocked):
        assert answer.exhausted is (len(today) >= MOST_PER_DAY[remedy])
        assert answer.exhausted or answer.until > now
    else:
        assert len(today) < MOST_PER_DAY[remedy]


def test_the_same_remedy_rests_ever_longer() -> None:
    limits = Limits()
    first = [Spent(Remedy.REBOOT, "vps-1", at(0))]
    assert isinstance(may_begin(Remedy.REBOOT, first, 0, at(limits.rest_s - 1), limits), Blocked)
    assert isinstance(may_begin(Remedy.REBOOT, first, 0, at(limits.rest_s), limits), Allowed)
    second = [*first, Spent(Remedy.REBOOT, "vps-1", at(limits.rest_s))]
    assert isinstance(may_begin(Remedy.REBOOT, second, 0, at(2.5 * limits.rest_s), limits), Blocked)
    assert isinstance(may_begin(Remedy.FLUSH_FIREWALL, second, 0, at(2.5 * limits.rest_s), limits), Allowed)


# --- storms


@pytest.mark.parametrize(
    ("unwell", "total", "over"),
    [
        (1, 1, False),
        (1, 2, False),
        (2, 2, True),
        (2, 3, False),
        (3, 4, True),
        (2, 20, False),
        (4, 20, False),
        (5, 20, True),
    ],
)
def test_the_line(unwell: int, total: int, over: bool) -> None:
    assert is_over_the_line(unwell, total, RULES) is over


def test_a_storm_lets_one_go_first_after_quiet_and_the_others_when_it_came_back() -> None:
    storm = judge_storm(8, 8, None, at(0), RULES)
    assert storm.active and not storm.canary_allowed
    assert not judge_storm(8, 8, storm, at(60), RULES).canary_allowed
    quiet = judge_storm(8, 8, storm, at(RULES.storm_quiet_s), RULES)
    assert quiet.canary_allowed
    gone = quiet.with_canary("vps-1")
    assert judge_storm(8, 8, gone, at(200), RULES).canary == "vps-1"
    released = gone.after_canary(helped=True, at=at(220))
    assert not judge_storm(7, 8, released, at(230), RULES).active
    assert judge_storm(1, 8, released, at(300), RULES).released is False


def test_a_canary_that_fails_and_new_losses_prolong_the_storm() -> None:
    storm = judge_storm(4, 8, None, at(0), RULES)
    quiet = judge_storm(4, 8, storm, at(130), RULES).with_canary("vps-1")
    failed = quiet.after_canary(helped=False, at=at(140))
    assert not judge_storm(4, 8, failed, at(150), RULES).canary_allowed
    grown = judge_storm(6, 8, judge_storm(4, 8, storm, at(130), RULES), at(131), RULES)
    assert not grown.canary_allowed and grown.canary is None


@given(st.lists(st.tuples(st.integers(0, 10), st.floats(0.1, 300, allow_nan=False)), max_size=40))
def test_a_storm_never_lets_anybody_go_before_its_quiet_time(counts: list[tuple[int, float]]) -> None:
    state: StormState | None = None
    now, grew = 0.0, 0.0
    for unwell, pause in counts:
        now += pause
        was_active = state is not None and state.active
        before = state.worst if state is not None and state.active else 0
        state = judge_storm(unwell, 10, state, at(now), RULES)
        if state.active and (not was_active or unwell > before):
            grew = now
        if state.active and state.canary_allowed:
            assert now - grew >= RULES.storm_quiet_s - 0.001
        assert StormState.from_json(state.as_json()) == state


# --- doubting oneself


@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from([AnchorState.REACHABLE, AnchorState.UNKNOWN]))
def test_who_reaches_an_anchor_is_not_blind(lost: int, total: int, anchors: AnchorState) -> None:
    assert not judge_fleet(anchors, min(lost, total), total, RULES).blind


@pytest.mark.parametrize(
    ("lost", "total", "blind"), [(0, 3, False), (1, 1, True), (1, 2, True), (1, 3, False), (2, 3, True)]
)
def test_who_reaches_no_anchor_is_blind_when_half_of_the_streams_are_gone(lost: int, total: int, blind: bool) -> None:
    assert judge_fleet(AnchorState.UNREACHABLE, lost, total, RULES).blind is blind
