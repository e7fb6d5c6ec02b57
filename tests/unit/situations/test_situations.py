"""The corpus: situations as JSON, each with what must be concluded and planned. The regression test of the verdict.

A file has `title`, then `events` and `verdicts` (and a `plan`), or `fleet`, or `storm`. Times are seconds from a start.
An event is a whole `reading` (what is not said of it is in order), or a look: `stream`, `tcp`, `login`, `service` with
what it met, or `disbelieved` (the loss was found while blind), or `blindness_ends`. A rung that ends with `?` asks.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from lazaret.healing.diagnosis import Facts, plan_for
from lazaret.healing.remedy import Remedy
from lazaret.healing.storm import StormState, judge_storm
from lazaret.probing.fleet import AnchorState, judge_fleet
from lazaret.probing.reading import DiskUse, DockerState, FullReading, Reading
from lazaret.probing.rules import Rules
from lazaret.probing.sighting import Means, Seen, Sighting
from lazaret.probing.symptoms import Condition, Expectations
from lazaret.probing.verdict import Phase, ServerWatch, disbelieve_loss, forget_silence, judge, new_watch, observe
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability

FILES = sorted(Path(__file__).parent.glob("*.json"))
START = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules()


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SeenReading(Strict):
    """A reading; `used`, `inodes` and `memory` (available) are percent, None is what could not be asked."""

    brief: bool = False
    used: float = 20
    inodes: float = 5
    memory: int = 50
    docker: bool | None = True
    containers: dict[str, str] = Field(default_factory=dict)
    firewall: bool | None = True
    boot: str = "boot"


class Event(Strict):
    at: float
    reading: SeenReading | None = None
    stream: Seen | None = None
    tcp: Seen | None = None
    login: Seen | None = None
    service: Seen | None = None
    disbelieved: bool = False
    blindness_ends: bool = False


class Expected(Strict):
    at: float
    phase: Phase
    condition: Condition | None = None
    symptoms: list[Condition] | None = None
    flapping: bool | None = None
    because: str | None = None


class ExpectedPlan(Strict):
    condition: Condition
    facts: dict[str, Any]
    rungs: list[str]


class Fleet(Strict):
    streams_lost: int
    total: int
    anchors: AnchorState
    late: bool = False
    blind: bool


class Storm(Strict):
    at: float
    unwell: int
    total: int
    active: bool
    canary_allowed: bool = False
    canary: str = ""


class Situation(Strict):
    title: str
    services: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    events: list[Event] = Field(default_factory=list)
    verdicts: list[Expected] = Field(default_factory=list)
    plan: ExpectedPlan | None = None
    fleet: Fleet | None = None
    storm: list[Storm] = Field(default_factory=list)


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_corpus_is_there() -> None:
    assert len(FILES) >= 60


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_situation(path: Path) -> None:
    situation = Situation.model_validate(json.loads(path.read_text(encoding="utf-8")))
    assert situation.verdicts or situation.fleet or situation.storm, "a situation that expects nothing tests nothing"
    expectations = Expectations(situation.services)
    watch, events = new_watch(START, RULES), list(situation.events)
    assert events == sorted(events, key=lambda event: event.at)
    for expected in situation.verdicts:
        while events and events[0].at <= expected.at:
            watch = after(watch, events.pop(0), expectations)
        check(watch, expected, expectations, situation.title)
    assert not events, "events after the last verdict are judged by nobody"
    if situation.plan is not None:
        check_plan(situation.plan)
    if situation.fleet is not None:
        told = situation.fleet
        verdict = judge_fleet(told.anchors, told.streams_lost, told.total, RULES, is_late=told.late)
        assert verdict.blind is told.blind, verdict.because
    check_storm(situation.storm)


def after(watch: ServerWatch, event: Event, expectations: Expectations) -> ServerWatch:
    if event.disbelieved:
        return disbelieve_loss(watch, moment(event.at))
    if event.blindness_ends:
        return forget_silence(watch, moment(event.at))
    if event.reading is not None:
        return observe(watch, reading_of(event.at, event.reading), RULES, expectations)
    looks = [(means, getattr(event, means.value)) for means in Means]
    for means, seen in looks:
        if seen is not None:
            watch = observe(watch, Sighting(moment(event.at), means, seen), RULES, expectations)
    return watch


def reading_of(at: float, seen: SeenReading) -> Reading:
    docker = None if seen.docker is None else DockerState(seen.docker, seen.containers if seen.docker else {})
    full = FullReading(
        machine_id="m",
        disks={"/": DiskUse(seen.used, seen.inodes, 1000)},
        docker=docker,
        firewall_active=seen.firewall,
        failed_units=(),
        pending_reboot=False,
        baseline_version="v",
    )
    memory_mb = 2000
    available_mb = memory_mb * seen.memory // 100
    return Reading(moment(at), seen.boot, at, 0.1, memory_mb, available_mb, 0.0, None if seen.brief else full)


def check(watch: ServerWatch, expected: Expected, expectations: Expectations, title: str) -> None:
    verdict = judge(watch, moment(expected.at), RULES, expectations)
    where = f"{title} At {expected.at:g} s: {verdict}"
    assert (verdict.phase, verdict.condition) == (expected.phase, expected.condition), where
    if expected.symptoms is not None:
        assert sorted(symptom.condition for symptom in verdict.symptoms) == sorted(expected.symptoms), where
    if expected.flapping is not None:
        assert verdict.flapping is expected.flapping, where
    if expected.because is not None:
        assert verdict.because == expected.because, where


def check_plan(plan: ExpectedPlan) -> None:
    given = dict(plan.facts)
    without = {Capability(name) for name in given.pop("without", ())}
    capabilities = frozenset(map(Capability, given.pop("capabilities", Capability))) - without
    policy = RebuildPolicy(given.pop("rebuild_policy", "ask"))
    tried = frozenset(map(Remedy, given.pop("tried", ())))
    facts = Facts(capabilities=capabilities, rebuild_policy=policy, tried=tried, **given)
    rungs = [f"{rung.remedy}{'?' if rung.needs_approval else ''}" for rung in plan_for(plan.condition, facts).rungs]
    assert rungs == plan.rungs


def check_storm(counts: list[Storm]) -> None:
    state: StormState | None = None
    for count in counts:
        state = judge_storm(count.unwell, count.total, state, moment(count.at), RULES)
        told = (state.active, state.canary_allowed)
        assert told == (count.active, count.canary_allowed), f"at {count.at:g} s: {state.because}"
        if count.canary:
            helped = count.canary == "helped"
            state = state.with_canary("vps-1").after_canary(helped=helped, at=moment(count.at))
