"""The verdict on one server: a fold over everything that is seen of it. Pure, and bounded in size.

Suspect first, then confirm by fresh looks in two ways; one good sign clears a suspicion; a come-back needs several.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from lazaret.probing.reading import Reading
from lazaret.probing.rules import Rules
from lazaret.probing.sighting import Means, Seen, Sighting
from lazaret.probing.symptoms import Condition, Expectations, Symptom, symptoms_in

__all__ = [
    "Condition",
    "Expectations",
    "Phase",
    "ServerWatch",
    "Symptom",
    "Verdict",
    "disbelieve_loss",
    "forget_silence",
    "goes_on",
    "judge",
    "new_watch",
    "observe",
]

KEPT = 24
"""Bad looks that are kept of one suspicion: the first, which says since when and by another means, and the newest."""


class Phase(StrEnum):
    """How sure we are of a server."""

    UNJUDGED = "unjudged"
    """Not seen well since we began to look, nor long enough to be called lost."""
    WELL = "well"
    """It answers; what its readings show stands in the symptoms."""
    SUSPECT = "suspect"
    """Something failed, and is being looked at again."""
    LOST = "lost"
    """Confirmed: nobody can log in."""
    RETURNING = "returning"
    """It was lost and gives signs of life, not enough yet."""


class ServerWatch(NamedTuple):
    """All that is remembered of one server. Made and changed by the functions below only.

    A tuple, for each reading makes a new one, and tuples are made ten times as fast as frozen dataclasses.
    """

    started_at: datetime
    """Since when it is looked at; nobody is called lost before the grace after it."""
    well_at: datetime | None = None
    """The newest good sign."""
    bad: tuple[Sighting, ...] = ()
    """Failed looks since the newest good sign, oldest first."""
    service_answers: bool = False
    """Whether a published service port answered at the last look."""
    lost: Condition | None = None
    began_at: datetime | None = None
    """The first sign of the loss."""
    lost_at: datetime | None = None
    good_signs: int = 0
    """Since it was lost."""
    changes: tuple[datetime, ...] = ()
    """When it was lost or came back, within the window."""
    streaks: tuple[tuple[Condition, int, str], ...] = ()
    """Symptoms on their way in: full readings in a row that show them."""
    symptoms: tuple[Symptom, ...] = ()
    clearing: tuple[tuple[Condition, int], ...] = ()
    """Confirmed symptoms on their way out: full readings in a row without them."""
    symptom_began_at: datetime | None = None
    boot_id: str = ""
    rebooted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of a server, by which rule. `because` is a sentence for a person."""

    phase: Phase
    condition: Condition | None
    symptoms: tuple[Symptom, ...]
    because: str
    began_at: datetime | None
    """The first sign of what is wrong."""
    flapping: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for verdicts that say the same."""
        return (self.phase, self.condition, tuple(s.condition for s in self.symptoms), self.flapping)


def new_watch(at: datetime, rules: Rules) -> ServerWatch:  # noqa: ARG001 - symmetry with its fellows
    """A server of which nothing is known."""
    return ServerWatch(started_at=at)


def forget_silence(watch: ServerWatch, at: datetime) -> ServerWatch:
    """We were blind: what was not seen meanwhile says nothing, and the grace begins anew."""
    if watch.lost is not None:
        return watch._replace(bad=(), good_signs=0)
    return watch._replace(bad=(), well_at=None, started_at=at)


def disbelieve_loss(watch: ServerWatch, at: datetime) -> ServerWatch:
    """It was found lost by an observer who was blind: nobody was told, so it never was, and the grace begins anew."""
    changes = tuple(change for change in watch.changes if change != watch.lost_at)
    return watch._replace(
        bad=(), well_at=None, started_at=at, lost=None, lost_at=None, began_at=None, good_signs=0, changes=changes
    )


def goes_on(watch: ServerWatch, at: datetime) -> ServerWatch | None:
    """What `observe` makes of a reading that says nothing but that the same boot goes on; None where that is news."""
    if watch.lost is not None or watch.bad or watch.well_at is None or watch.changes:
        return None
    return watch._replace(well_at=at)


def observe(
    watch: ServerWatch, seen: Sighting | Reading, rules: Rules, expectations: Expectations | None = None
) -> ServerWatch:
    """The watch after one more look or reading."""
    if isinstance(seen, Reading):
        return _symptoms(_good(watch, seen.at, rules), seen, rules, expectations or Expectations())
    if seen.means is Means.SERVICE:
        return watch._replace(service_answers=seen.seen is Seen.WELL)
    if seen.seen is not Seen.WELL:
        return _failed(watch, seen, rules)
    if seen.means is Means.LOGIN:
        return _good(watch, seen.at, rules)
    return watch  # an open port alone clears nothing: a machine that hangs still has it


def _good(watch: ServerWatch, at: datetime, rules: Rules) -> ServerWatch:
    if watch.lost is None:
        if not watch.bad and watch.well_at is not None and not watch.changes:
            return watch._replace(well_at=at)
        return watch._replace(well_at=at, bad=(), changes=_recent(watch.changes, at, rules))
    signs = watch.good_signs + 1
    if signs < rules.return_signs:
        return watch._replace(well_at=at, bad=(), good_signs=signs)
    changes = _recent((*watch.changes, at), at, rules)
    return watch._replace(well_at=at, bad=(), lost=None, lost_at=None, began_at=None, good_signs=0, changes=changes)


def _failed(watch: ServerWatch, seen: Sighting, rules: Rules) -> ServerWatch:
    bad = (*watch.bad, seen) if len(watch.bad) < KEPT else (watch.bad[0], *watch.bad[2:], seen)
    watch = watch._replace(bad=bad, good_signs=0)
    condition = _confirmed(watch, seen.at, rules)
    if condition is None or condition is watch.lost:
        return watch
    if watch.lost is not None:
        return watch._replace(lost=condition)
    began_at = watch.bad[0].at
    return watch._replace(
        lost=condition,
        lost_at=seen.at,
        began_at=began_at,
        symptoms=(),
        streaks=(),
        clearing=(),
        changes=_recent((*watch.changes, seen.at), seen.at, rules),
    )


def _confirmed(watch: ServerWatch, now: datetime, rules: Rules) -> Condition | None:
    """The condition that enough rounds agree on, by two means; None while it is only a suspicion."""
    logins = [look for look in watch.bad if look.means is Means.LOGIN]
    knocks = [look for look in watch.bad if look.means is Means.TCP]
    others = [look for look in watch.bad if look.means is Means.STREAM]
    if len(logins) < rules.confirm_rounds:
        return None
    if len({look.means for look in (*logins, *knocks, *others)}) < 2:
        return None
    if watch.well_at is None and (now - watch.started_at).total_seconds() < rules.grace_after_start_s:
        return None
    if _only_held_off(logins, now - (watch.well_at or watch.started_at), rules):
        return None
    return _condition(logins, watch, rules)


def _only_held_off(logins: list[Sighting], unseen_for: timedelta, rules: Rules) -> bool:
    """Somebody is at home and hangs up on us, which sshd does for a while to whom it has seen fail too often."""
    newest = logins[-rules.confirm_rounds :]
    return all(look.seen is Seen.HUNG_UP for look in newest) and unseen_for.total_seconds() < rules.held_off_s


def _condition(looks: list[Sighting], watch: ServerWatch, rules: Rules) -> Condition | None:
    """What most of the newest looks met; a lost server changes its condition only when they all agree."""
    newest = Counter(look.seen for look in looks[-rules.confirm_rounds :])
    seen, count = newest.most_common(1)[0]
    if watch.lost is not None and count < rules.confirm_rounds:
        return None
    if seen in {Seen.SILENT, Seen.REFUSED} and watch.service_answers:
        return Condition.FILTERED
    if count == 1 and len(newest) > 1:
        return Condition.UNREACHABLE_MIXED
    return _CONDITION[seen]


_CONDITION = {
    Seen.SILENT: Condition.SILENT,
    Seen.REFUSED: Condition.REFUSED,
    Seen.NO_BANNER: Condition.NO_BANNER,
    Seen.HUNG_UP: Condition.NO_BANNER,
    Seen.LOST: Condition.NO_BANNER,
    Seen.LOGIN_REFUSED: Condition.LOGIN_REFUSED,
    Seen.HOST_KEY_CHANGED: Condition.HOST_KEY_CHANGED,
}


def _recent(changes: tuple[datetime, ...], at: datetime, rules: Rules) -> tuple[datetime, ...]:
    since = at - timedelta(seconds=rules.flap_window_s)
    return tuple(change for change in changes if change >= since)[-2 * rules.flap_changes :]


# --- symptoms


def _symptoms(watch: ServerWatch, reading: Reading, rules: Rules, expectations: Expectations) -> ServerWatch:
    if reading.boot_id != watch.boot_id:
        rebooted_at = reading.at if watch.boot_id else None
        watch = watch._replace(boot_id=reading.boot_id, rebooted_at=rebooted_at)
    if reading.full is None:
        return watch
    known = {symptom.condition for symptom in watch.symptoms}
    present = symptoms_in(reading, rules, expectations, known)
    if not present and not known and not watch.streaks:
        return watch
    before = {condition: count for condition, count, _ in watch.streaks}
    streaks = {condition: before.get(condition, 0) + 1 for condition in present if condition not in known}
    confirmed = {condition for condition, count in streaks.items() if count >= rules.symptom_readings}
    absent = {condition: count + 1 for condition, count in _absent(watch, present)}
    cleared = {condition for condition, count in absent.items() if count >= rules.symptom_readings}
    details = {symptom.condition: symptom.detail for symptom in watch.symptoms} | present
    standing = sorted((known | confirmed) - cleared)
    began_at = watch.symptom_began_at or reading.at
    return watch._replace(
        symptoms=tuple(Symptom(condition, details[condition]) for condition in standing),
        streaks=tuple((c, count, present[c]) for c, count in streaks.items() if c not in confirmed),
        clearing=tuple((c, count) for c, count in absent.items() if c not in cleared),
        symptom_began_at=began_at if standing or streaks else None,
    )


def _absent(watch: ServerWatch, present: dict[Condition, str]) -> list[tuple[Condition, int]]:
    clearing = dict(watch.clearing)
    return [(s.condition, clearing.get(s.condition, 0)) for s in watch.symptoms if s.condition not in present]


# --- judging


def judge(
    watch: ServerWatch,
    now: datetime,
    rules: Rules,
    expectations: Expectations | None = None,  # noqa: ARG001
) -> Verdict:
    """What is true of the server now."""
    flapping = (
        len(watch.changes) >= rules.flap_changes and len(_recent(watch.changes, now, rules)) >= rules.flap_changes
    )
    if watch.lost is not None:
        return _lost(watch, flapping)
    if watch.bad:
        first, last = watch.bad[0], watch.bad[-1]
        because = f"{last.means} {last.seen}{f' ({last.detail})' if last.detail else ''}; being looked at again."
        return Verdict(Phase.SUSPECT, None, watch.symptoms, because, first.at, flapping)
    if watch.well_at is None:
        return Verdict(Phase.UNJUDGED, None, (), "It has not been seen since the watching began.", None, flapping)
    because = " ".join(symptom.detail for symptom in watch.symptoms) or "It answers, and its readings are in order."
    return Verdict(Phase.WELL, None, watch.symptoms, because, watch.symptom_began_at, flapping)


def _lost(watch: ServerWatch, flapping: bool) -> Verdict:
    if watch.good_signs:
        because = "It was lost and answers again; one more good sign is waited for."
        return Verdict(Phase.RETURNING, watch.lost, (), because, watch.began_at, flapping)
    looks = Counter(f"{look.means} {look.seen}" for look in watch.bad if look.means is not Means.STREAM)
    told = ", ".join(f"{count} x {name}" for name, count in looks.most_common(3))
    last_seen = f" Last seen well at {watch.well_at:%H:%M:%S} UTC." if watch.well_at else ""
    return Verdict(
        Phase.LOST,
        watch.lost,
        (),
        f"Fresh looks failed in a row: {told or 'all'}.{last_seen}",
        watch.began_at,
        flapping,
    )
