"""The verdict: suspicion, confirmation by two means, hysteresis, flapping; and what must hold in every history."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from lazaret.healing.diagnosis import Facts, plan_for
from lazaret.healing.remedy import Remedy
from lazaret.probing.reading import DiskUse, DockerState, FullReading, Reading
from lazaret.probing.rules import Rules
from lazaret.probing.sighting import Means, Seen, Sighting
from lazaret.probing.verdict import (
    KEPT,
    Condition,
    Expectations,
    Phase,
    ServerWatch,
    disbelieve_loss,
    forget_silence,
    goes_on,
    judge,
    new_watch,
    observe,
)
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability

START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules()
WEB = Expectations({"web": ("web-web-1",)})


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def reading(seconds: float, *, full: bool = True, used: float = 20, docker: bool = True, **other: object) -> Reading:
    containers = other.pop("containers", {"web-web-1": "running"})
    part = FullReading(
        machine_id="m",
        disks={"/": DiskUse(used, 5, 1000)},
        docker=DockerState(docker, containers if docker else {}),  # type: ignore[arg-type]
        firewall_active=bool(other.pop("firewall", True)),
        failed_units=(),
        pending_reboot=False,
        baseline_version="v",
    )
    return Reading(at(seconds), str(other.pop("boot", "b")), seconds, 0.1, 2000, 1000, 0.0, part if full else None)


def look(seconds: float, means: Means, seen: Seen) -> Sighting:
    return Sighting(at(seconds), means, seen)


def fold(*seen: Sighting | Reading, watch: ServerWatch | None = None) -> ServerWatch:
    watch = watch or new_watch(START, RULES)
    for one in seen:
        watch = observe(watch, one, RULES, WEB)
    return watch


def phase(watch: ServerWatch, seconds: float = 1000) -> Phase:
    return judge(watch, at(seconds), RULES, WEB).phase


def lost_looks(begin: float, seen: Seen = Seen.SILENT) -> list[Sighting]:
    """A stream that ended and three rounds of fresh looks in both ways."""
    looks = [look(begin, Means.STREAM, Seen.LOST)]
    for number in range(3):
        looks += [look(begin + number + 1, Means.TCP, seen), look(begin + number + 1, Means.LOGIN, seen)]
    return looks


def test_nothing_is_known_at_first() -> None:
    assert phase(new_watch(START, RULES)) is Phase.UNJUDGED


def test_a_reading_makes_it_well() -> None:
    assert phase(fold(reading(1))) is Phase.WELL


def test_a_lost_stream_is_only_a_suspicion() -> None:
    assert phase(fold(reading(1), look(2, Means.STREAM, Seen.LOST))) is Phase.SUSPECT


def test_one_good_login_clears_a_suspicion() -> None:
    watch = fold(reading(1), *lost_looks(2)[:5], look(5, Means.LOGIN, Seen.WELL))
    assert phase(watch) is Phase.WELL


def test_an_open_port_alone_clears_nothing() -> None:
    watch = fold(reading(1), look(2, Means.STREAM, Seen.LOST), look(3, Means.TCP, Seen.WELL))
    assert phase(watch) is Phase.SUSPECT


def test_three_rounds_by_two_means_are_a_loss_with_its_first_sign() -> None:
    verdict = judge(fold(reading(1), *lost_looks(60)), at(70), RULES)
    assert (verdict.phase, verdict.condition) == (Phase.LOST, Condition.SILENT)
    assert verdict.began_at == at(60)


@pytest.mark.parametrize(
    ("seen", "condition"),
    [
        (Seen.SILENT, Condition.SILENT),
        (Seen.REFUSED, Condition.REFUSED),
        (Seen.NO_BANNER, Condition.NO_BANNER),
        (Seen.LOGIN_REFUSED, Condition.LOGIN_REFUSED),
        (Seen.HOST_KEY_CHANGED, Condition.HOST_KEY_CHANGED),
    ],
)
def test_each_way_of_failing_is_its_own_condition(seen: Seen, condition: Condition) -> None:
    looks = [look(60, Means.STREAM, Seen.LOST), *(look(61 + n, Means.LOGIN, seen) for n in range(3))]
    assert judge(fold(reading(1), *looks), at(70), RULES).condition is condition


def hung_up(begin: float, end: float) -> list[Sighting]:
    """A stream that ended, an open port, and a login every second that is hung up on."""
    logins = [look(begin + second, Means.LOGIN, Seen.HUNG_UP) for second in range(1, round(end - begin) + 1)]
    return [look(begin, Means.STREAM, Seen.LOST), look(begin, Means.TCP, Seen.WELL), *logins]


def test_who_is_only_held_off_for_a_while_has_lost_no_server() -> None:
    watch = fold(reading(60), *hung_up(61, 60 + RULES.held_off_s - 1))
    assert phase(watch) is Phase.SUSPECT
    assert phase(observe(watch, look(100, Means.LOGIN, Seen.WELL), RULES, WEB)) is Phase.WELL


def test_a_server_that_goes_on_hanging_up_is_lost() -> None:
    verdict = judge(fold(reading(60), *hung_up(61, 60 + RULES.held_off_s)), at(101), RULES)
    assert (verdict.phase, verdict.condition) == (Phase.LOST, Condition.NO_BANNER)


def test_a_hang_up_among_other_failures_delays_nothing() -> None:
    """As of a machine that goes down: its connections are reset, then it is silent."""
    looks = [look(64 + n, Means.LOGIN, seen) for n, seen in enumerate((Seen.HUNG_UP, Seen.SILENT, Seen.SILENT))]
    assert phase(fold(reading(60), look(61, Means.STREAM, Seen.LOST), *looks)) is Phase.LOST


def test_a_service_that_answers_tells_a_filter_from_a_dead_machine() -> None:
    watch = fold(reading(1), look(60, Means.SERVICE, Seen.WELL), *lost_looks(60))
    assert judge(watch, at(70), RULES).condition is Condition.FILTERED


def test_nobody_is_called_lost_right_after_the_start() -> None:
    assert phase(fold(*lost_looks(1)), 10) is not Phase.LOST
    assert phase(fold(*lost_looks(1), *lost_looks(40)), 50) is Phase.LOST


def test_blindness_ages_no_timer() -> None:
    watch = forget_silence(fold(reading(1), *lost_looks(60)[:6]), at(70))
    assert phase(watch, 70) is Phase.UNJUDGED
    assert phase(fold(*lost_looks(71), watch=watch), 80) is not Phase.LOST


def test_a_loss_that_a_blind_observer_found_counts_for_nothing() -> None:
    watch = fold(reading(1))
    for number in range(RULES.flap_changes):
        begin = 60.0 + 100 * number
        watch = disbelieve_loss(fold(*lost_looks(begin), watch=watch), at(begin + 10))
        assert phase(watch, begin + 10) is Phase.UNJUDGED
        watch = fold(reading(begin + 50), watch=watch)
        verdict = judge(watch, at(begin + 50), RULES, WEB)
        assert (verdict.phase, verdict.flapping) == (Phase.WELL, False)
    assert phase(fold(*lost_looks(2000), watch=watch), 2010) is Phase.LOST, "what is seen after it counts"


def test_coming_back_needs_more_than_one_good_sign() -> None:
    lost = fold(reading(1), *lost_looks(60))
    once = fold(look(80, Means.LOGIN, Seen.WELL), watch=lost)
    assert phase(once, 80) is Phase.RETURNING
    assert phase(fold(reading(81), watch=once), 81) is Phase.WELL
    assert phase(fold(look(81, Means.STREAM, Seen.LOST), watch=once), 81) is Phase.LOST


def test_flapping_is_said_and_ends_with_quiet() -> None:
    watch = fold(reading(1))
    for number in range(3):
        begin = 60.0 + 100 * number
        watch = fold(*lost_looks(begin), look(begin + 20, Means.LOGIN, Seen.WELL), reading(begin + 21), watch=watch)
    assert judge(watch, at(300), RULES).flapping
    assert not judge(watch, at(300 + RULES.flap_window_s), RULES).flapping


@pytest.mark.parametrize(
    ("ill", "condition"),
    [
        ({"docker": False}, Condition.DOCKER_DOWN),
        ({"used": 97}, Condition.DISK_FULL),
        ({"firewall": False}, Condition.FIREWALL_OFF),
        ({"containers": {"web-web-1": "exited"}}, Condition.SERVICE_DOWN),
        ({"containers": {"web-web-1": "restarting"}}, Condition.SERVICE_DOWN),
        ({"containers": {}}, Condition.SERVICE_DOWN),
    ],
)
def test_a_symptom_needs_two_readings_to_begin_and_two_to_end(ill: dict[str, object], condition: Condition) -> None:
    once = fold(reading(1), reading(60, **ill))  # type: ignore[arg-type]
    assert not judge(once, at(60), RULES).symptoms
    twice = fold(reading(120, **ill), watch=once)  # type: ignore[arg-type]
    assert [symptom.condition for symptom in judge(twice, at(120), RULES).symptoms] == [condition]
    assert judge(twice, at(120), RULES).phase is Phase.WELL
    better = fold(reading(180), watch=twice)
    assert judge(better, at(180), RULES).symptoms
    assert not judge(fold(reading(240), watch=better), at(240), RULES).symptoms


def test_a_disk_between_its_thresholds_changes_nothing() -> None:
    full = fold(reading(1, used=97), reading(60, used=97))
    assert judge(fold(*(reading(100 + n, used=92) for n in range(5)), watch=full), at(200), RULES).symptoms
    assert not judge(fold(*(reading(100 + n, used=92) for n in range(5))), at(200), RULES).symptoms


def test_docker_that_is_down_hides_its_services() -> None:
    watch = fold(reading(1, docker=False), reading(60, docker=False))
    assert [symptom.condition for symptom in judge(watch, at(60), RULES).symptoms] == [Condition.DOCKER_DOWN]


# --- what must hold in every history

LOOKS = st.builds(
    look,
    st.floats(0, 5000, allow_nan=False),
    st.sampled_from(list(Means)),
    st.sampled_from(list(Seen)),
)
READINGS = st.builds(
    reading,
    st.floats(0, 5000, allow_nan=False),
    full=st.booleans(),
    used=st.floats(0, 100, allow_nan=False),
    docker=st.booleans(),
)


def rounds(start: float, count: int, seen: Seen) -> list[Sighting | Reading]:
    """What the watcher does about a suspicion; single looks at random would hardly ever confirm anything."""
    looks: list[Sighting | Reading] = []
    for number in range(count):
        looks += [look(start + 3 * number, Means.TCP, seen), look(start + 3 * number + 1, Means.LOGIN, seen)]
    return looks


def in_order(blocks: list[list[Sighting | Reading]]) -> list[Sighting | Reading]:
    return sorted((one for block in blocks for one in block), key=lambda one: one.at)


BLOCKS = (
    LOOKS.map(lambda one: [one])
    | READINGS.map(lambda one: [one])
    | st.builds(rounds, st.floats(0, 4900, allow_nan=False), st.integers(1, 6), st.sampled_from(list(Seen)))
)
HISTORIES = st.lists(BLOCKS, max_size=40).map(in_order)


@given(HISTORIES)
def test_a_loss_has_always_been_seen_by_two_means(history: list[Sighting | Reading]) -> None:
    watch = new_watch(START, RULES)
    failing: set[Means] = set()
    for one in history:
        before = watch.lost
        watch = observe(watch, one, RULES, WEB)
        if isinstance(one, Reading) or (one.means is Means.LOGIN and one.seen is Seen.WELL):
            failing = set()
        elif one.seen is not Seen.WELL and one.means is not Means.SERVICE:
            failing.add(one.means)
        if before is None and watch.lost is not None:
            assert len(failing) > 1


@given(HISTORIES)
def test_a_good_sign_always_clears_a_suspicion(history: list[Sighting | Reading]) -> None:
    watch = fold(*history)
    if watch.lost is None:
        assert phase(fold(look(5001, Means.LOGIN, Seen.WELL), watch=watch), 5001) is Phase.WELL


@given(HISTORIES)
def test_what_is_remembered_is_bounded_and_the_same_each_time(history: list[Sighting | Reading]) -> None:
    watch = fold(*history)
    assert watch == fold(*history)
    assert len(watch.bad) <= KEPT
    assert len(watch.changes) <= 2 * RULES.flap_changes


@given(HISTORIES)
def test_after_blindness_nobody_is_newly_lost_before_the_grace_is_over(history: list[Sighting | Reading]) -> None:
    watch = forget_silence(fold(*history), at(5000))
    if watch.lost is None:
        assert fold(*lost_looks(5000), watch=watch).lost is None


@given(HISTORIES, st.sampled_from(list(RebuildPolicy)))
def test_no_history_of_looks_leads_to_a_reinstall_by_itself(
    history: list[Sighting | Reading], policy: RebuildPolicy
) -> None:
    watch = fold(*history)
    verdict = judge(watch, at(5000), RULES, WEB)
    facts = Facts(frozenset(Capability), policy, flapping=verdict.flapping)
    for condition in filter(None, (verdict.condition, *(symptom.condition for symptom in verdict.symptoms))):
        rungs = plan_for(condition, facts).rungs
        event(f"{condition}: {len(rungs)} rungs")
        assert all(rung.needs_approval for rung in rungs if rung.remedy is Remedy.REINSTALL)
        assert rungs[-1].remedy is Remedy.HUMAN


@given(HISTORIES)
def test_a_line_that_needs_no_reading_would_have_said_nothing(history: list[Sighting | Reading]) -> None:
    """The short way does as the long way, and the verdict stays; of a server in doubt it makes nothing."""
    watch = fold(*history)
    after = goes_on(watch, at(5001))
    event(f"short way: {after is not None}")
    if after is None:
        assert watch.bad or watch.lost or watch.well_at is None or watch.changes
    else:
        assert after == fold(reading(5001, full=False, boot=watch.boot_id), watch=watch)
        assert judge(after, at(5001), RULES).key == judge(watch, at(5000), RULES).key


def test_a_server_that_flapped_is_read_until_it_is_quiet() -> None:
    watch = fold(*[reading(0)], *lost_looks(10), reading(60), reading(70), reading(80))
    assert phase(watch, 80) is Phase.WELL
    assert goes_on(watch, at(90)) is None
    quiet_at = 80 + RULES.flap_window_s
    assert goes_on(fold(reading(quiet_at, full=False), watch=watch), at(quiet_at + 10)) is not None
