"""From a condition to its ladder: which remedies, in which order, and which of them ask first. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lazaret.healing.remedy import REMEDIES, Remedy
from lazaret.kernel.i18n import mark
from lazaret.probing.symptoms import Condition
from lazaret.servers.model import RebuildPolicy
from lazaret.servers.provider import Capability

SENSES_FOR_A_REINSTALL = 2
"""A reinstall by itself needs so many senses that agree."""
LOOKS_FOR_OTHER_TROUBLE = 3
"""So many looks in a row must miss what a plan was made for before it is left."""
LOOKS_AT_A_HANG_UP = 6
"""So many looks in a row must be hung up on before that counts as trouble: sshd lets whom it holds off in again after
some twenty seconds, and forgets a burst sooner."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan depends on besides the condition."""

    capabilities: frozenset[Capability]
    rebuild_policy: RebuildPolicy
    has_services: bool = False
    services_answer: bool = False
    """A published port of a service on it answers right now."""
    provider_says_reinstalled_by_others: bool = False
    """The provider's own history shows a reinstall that was not ours: no host can forge that."""
    senses_agree: int = 1
    flapping: bool = False
    tried: frozenset[Remedy] = frozenset()
    """What this recovery has already done: nothing is done twice because the trouble changed its face."""


@dataclass(frozen=True, slots=True)
class PlannedRung:
    """One rung, and why it stands there."""

    remedy: Remedy
    needs_approval: bool
    because: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A rung that belongs to the ladder and cannot be climbed, and why not."""

    remedy: Remedy
    because: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A ladder; its last rung is always a person."""

    rungs: tuple[PlannedRung, ...]
    because: str
    left_out: tuple[LeftOut, ...] = ()
    """What this provider cannot do. Nothing is left out silently."""


_R = Remedy
_LADDERS: dict[Condition, tuple[Remedy, ...]] = {
    Condition.SILENT: (_R.FLUSH_FIREWALL, _R.REBOOT, _R.PROVISION_AGAIN, _R.REINSTALL),
    Condition.REFUSED: (_R.FLUSH_FIREWALL, _R.REBOOT, _R.PROVISION_AGAIN, _R.REINSTALL),
    Condition.NO_BANNER: (_R.REBOOT, _R.PROVISION_AGAIN, _R.REINSTALL),
    Condition.UNREACHABLE_MIXED: (_R.FLUSH_FIREWALL, _R.REBOOT, _R.PROVISION_AGAIN, _R.REINSTALL),
    Condition.FILTERED: (_R.FLUSH_FIREWALL, _R.REBOOT, _R.PROVISION_AGAIN, _R.REINSTALL),
    Condition.LOGIN_REFUSED: (_R.PROVISION_AGAIN, _R.REINSTALL),
    Condition.HOST_KEY_CHANGED: (),
    Condition.DOCKER_DOWN: (_R.RESTART_DOCKER, _R.PROVISION_AGAIN, _R.REBOOT),
    Condition.DISK_FULL: (_R.FREE_DISK,),
    Condition.INODES_FULL: (_R.FREE_DISK,),
    Condition.MEMORY_EXHAUSTED: (),
    Condition.FIREWALL_OFF: (_R.PROVISION_AGAIN,),
    Condition.SERVICE_DOWN: (_R.RESTART_SERVICE,),
}
"""Gentle first. A person is added to each."""

_NO_ANSWER = frozenset(
    {
        Condition.SILENT,
        Condition.REFUSED,
        Condition.NO_BANNER,
        Condition.FILTERED,
        Condition.UNREACHABLE_MIXED,
    }
)
"""Forms of one trouble, which change into each other while a machine goes down or comes up."""

_WHY: dict[Remedy, str] = {
    _R.RESTART_SERVICE: mark("A container that should run does not."),
    _R.RESTART_DOCKER: mark("The machine answers and only Docker does not."),
    _R.FREE_DISK: mark("There is room to be won without touching data."),
    _R.FLUSH_FIREWALL: mark("A packet filter may shut us out; dropping its rules harms nothing and is quickly tried."),
    _R.REBOOT: mark("The machine does not answer, or what runs on it does not mend."),
    _R.PROVISION_AGAIN: mark("The way in, or what was set up, is to be made anew; data stays."),
    _R.REINSTALL: mark("Nothing gentler is left."),
}


def plan_for(condition: Condition, facts: Facts) -> Plan:
    """The ladder for this condition. What the provider cannot do is left out by name; a reinstall obeys the policy."""
    if facts.flapping:
        return _human(mark("It comes and goes: another remedy would only add to that."))
    if condition is Condition.HOST_KEY_CHANGED:
        return _host_key_changed(facts)
    if condition is Condition.MEMORY_EXHAUSTED:
        return _human(mark("What uses the memory is a person's to judge."))
    left_out = tuple(_left_out(condition, facts))
    rungs = tuple(_rungs(condition, facts, frozenset(one.remedy for one in left_out)))
    if not rungs:
        because = mark("There is no remedy left that this provider could carry out.")
        return Plan((PlannedRung(_R.HUMAN, False, because),), because, left_out)
    return Plan((*rungs, _to_a_person()), "", left_out)


def is_other_trouble(planned_for: Condition, seen: Collection[Condition]) -> bool:
    """Whether what is seen now is none of what the plan was made for, so that the plan is not to be followed."""
    if not seen or planned_for in seen:
        return False
    return not (planned_for in _NO_ANSWER and _NO_ANSWER.intersection(seen))


def looks_needed(planned_for: Condition | None, seen: Collection[Condition], *, hung_up: bool) -> int:
    """How many looks in a row it takes to believe this one. One look overturns neither a plan nor a person's yes."""
    if hung_up:
        return LOOKS_AT_A_HANG_UP
    if planned_for is not None and is_other_trouble(planned_for, seen):
        return LOOKS_FOR_OTHER_TROUBLE
    return 1


def _left_out(condition: Condition, facts: Facts) -> Iterable[LeftOut]:
    for remedy in _LADDERS[condition]:
        needed = REMEDIES[remedy].needs
        if remedy in facts.tried or needed is None or needed in facts.capabilities:
            continue
        if remedy is not _R.PROVISION_AGAIN:
            yield LeftOut(remedy, mark("The provider has no such function."))
        elif condition in _NO_ANSWER and not facts.capabilities:
            # Setting up again needs a password only where our key does not open the server.
            yield LeftOut(remedy, mark("Nobody can log in, and nothing was done from outside that might let us in."))


def _rungs(condition: Condition, facts: Facts, left_out: frozenset[Remedy]) -> Iterable[PlannedRung]:
    for remedy in _LADDERS[condition]:
        if remedy in facts.tried or remedy in left_out:
            continue
        if remedy is _R.REINSTALL:
            if facts.rebuild_policy is not RebuildPolicy.NEVER:
                yield PlannedRung(remedy, reinstall_asks(facts.rebuild_policy, facts.senses_agree), _WHY[remedy])
        elif remedy is _R.REBOOT and facts.services_answer:
            yield PlannedRung(remedy, True, mark("Its services answer, and a reboot would interrupt them."))
        else:
            yield PlannedRung(remedy, False, _WHY[remedy])


def reinstall_asks(policy: RebuildPolicy, senses_agree: int) -> bool:
    """Whether a reinstall, where the policy allows it at all, needs a yes."""
    return policy is not RebuildPolicy.AUTO or senses_agree < SENSES_FOR_A_REINSTALL


def _host_key_changed(facts: Facts) -> Plan:
    may = (
        facts.rebuild_policy is not RebuildPolicy.NEVER
        and Capability.REINSTALL in facts.capabilities
        and _R.REINSTALL not in facts.tried
    )
    if not facts.provider_says_reinstalled_by_others or not may:
        return _human(mark("Another machine may be answering: nothing secret is sent there, and nothing is done."))
    because = mark("The provider's history shows a reinstall that was not ours: the system that we knew is gone.")
    return Plan((PlannedRung(_R.REINSTALL, True, because), _to_a_person()), because)


def _to_a_person() -> PlannedRung:
    return PlannedRung(_R.HUMAN, False, mark("All that may be tried by itself was tried."))


def _human(because: str) -> Plan:
    return Plan((PlannedRung(_R.HUMAN, False, because),), because)
