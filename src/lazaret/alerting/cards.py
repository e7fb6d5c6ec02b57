"""What messages say. Pure: facts in, text in one language out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from gettext import NullTranslations

from lazaret.alerting.markdown import Rich, bold, code, lines, text
from lazaret.alerting.model import Level
from lazaret.alerting.words import EMOJI, OVER, duration, fill, name_of, sentence_in
from lazaret.incidents.model import IncidentStatus

LINES_SHOWN = 3
LONGEST_LINE = 220
LONGEST_DIGEST = 3500


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an incident's timeline; `template` and `values` are what `message` was made from."""

    at: datetime
    message: str
    template: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    def said_in(self, language: NullTranslations) -> str:
        """The line in a language."""
        return fill(self.template, self.values, language) if self.template else sentence_in(self.message, language)


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """All that a card shows."""

    id: int
    handle: str | None
    """None: of the fleet."""
    address: str
    incident_type: str
    cause: str
    status: IncidentStatus
    level: Level
    began_at: datetime
    detected_at: datetime
    resolved_at: datetime | None
    services: Sequence[str] = ()
    acknowledged_by: str = ""
    parent_id: int | None = None
    members: Sequence[str] = ()
    """Servers whose incidents are told with this one."""
    newest: Sequence[Line] = ()
    """The newest lines of the timeline, oldest first."""


def incident_card(facts: IncidentFacts, language: NullTranslations) -> Rich:
    """The one message of an incident, as it stands now."""
    _ = language.gettext
    is_over = facts.status is IncidentStatus.RESOLVED
    found_s = (facts.detected_at - facts.began_at).total_seconds()
    what = name_of(facts.cause or facts.incident_type, language)
    parts = [text(f"{OVER if is_over else EMOJI[facts.level]} ") + _subject(facts, language) + text(f" · {what}")]
    if is_over and facts.resolved_at is not None:
        took_s = (facts.resolved_at - facts.detected_at).total_seconds()
        parts.append(
            text(
                _("Over. Detected in {found}, recovered in {took}.").format(
                    found=duration(found_s, language), took=duration(took_s, language)
                )
            )
        )
    else:
        parts.append(text(_("State: ")) + bold(name_of(facts.status, language)))
        parts.append(
            text(
                _("Detected {at:%H:%M:%S} UTC, {found} after the first sign.").format(
                    at=facts.detected_at, found=duration(found_s, language)
                )
            )
        )
    if facts.services:
        parts.append(text(_("Services: {names}").format(names=", ".join(facts.services))))
    if facts.members:
        parts.append(text(_("Servers: {names}").format(names=_listed(facts.members, 20, language))))
    if facts.parent_id is not None:
        parts.append(text(_("Part of incident {id}.").format(id=facts.parent_id)))
    if facts.acknowledged_by and not is_over:
        parts.append(text(_("Acknowledged by {name}.").format(name=facts.acknowledged_by)))
    parts += [
        text(f"{line.at:%H:%M:%S}  {_cut(line.said_in(language), LONGEST_LINE)}")
        for line in facts.newest[-LINES_SHOWN:]
    ]
    parts.append(text(_("Incident {id}").format(id=facts.id)))
    return lines(parts)


def note(level: Level, template: str, values: Mapping[str, object], language: NullTranslations) -> Rich:
    """A message by itself."""
    return text(f"{EMOJI[level]} {_cut(fill(template, values, language).strip(), 3500)}")


def reminder(facts: IncidentFacts, since_s: float, language: NullTranslations) -> Rich:
    """Nobody has answered yet."""
    return lines(
        [
            text(f"{EMOJI[Level.CRITICAL]} ") + _subject(facts, language) + text(f" · {_what(facts, language)}"),
            text(
                language.gettext("Nobody has acknowledged incident {id} for {since}.").format(
                    id=facts.id, since=duration(since_s, language)
                )
            ),
        ]
    )


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a digest tells: an incident, or (without one) a note."""

    level: Level
    incident: IncidentFacts | None = None
    template: str = ""
    values: Mapping[str, object] = field(default_factory=dict)


def digest(told: Sequence[Told], language: NullTranslations) -> Rich:
    """Many messages in one: incidents by cause, with every server named as far as there is room."""
    _ = language.gettext
    groups: dict[tuple[bool, str], list[str]] = {}
    notes: list[Told] = []
    for one in told:
        if one.incident is None:
            notes.append(one)
            continue
        key = (one.incident.status is IncidentStatus.RESOLVED, _what(one.incident, language))
        groups.setdefault(key, []).append(one.incident.handle or _("the fleet"))
    worst = max((one.level for one in told), key=list(Level).index, default=Level.INFO)
    head = language.ngettext("{n} message in one", "{n} messages in one", len(told)).format(n=len(told))
    parts = [text(f"{EMOJI[worst]} ") + bold(head)]
    letters = sum(len(name) + 2 for names in groups.values() for name in names)
    for (is_over, what), handles in sorted(groups.items()):
        mark = OVER if is_over else "•"
        share = sum(len(name) + 2 for name in handles) / letters
        names = _fitting(handles, int(LONGEST_DIGEST * share), language)
        parts.append(text(f"{mark} {what} ({len(handles)}): {names}"))
    shown = notes[-8:]
    parts += [text(f"{EMOJI[one.level]} {_cut(fill(one.template, one.values, language), 120)}") for one in shown]
    if len(notes) > len(shown):
        parts.append(text(_("and {n} more").format(n=len(notes) - len(shown))))
    parts.append(text(_("All of them: ")) + code("/incidents"))
    return lines(parts)


def _subject(facts: IncidentFacts, language: NullTranslations) -> Rich:
    if facts.handle is None:
        return bold(language.gettext("the fleet"))
    return bold(facts.handle) + (text(" ") + code(facts.address) if facts.address else text(""))


def _what(facts: IncidentFacts, language: NullTranslations) -> str:
    return name_of(facts.cause or facts.incident_type, language)


def _listed(names: Sequence[str], most: int, language: NullTranslations) -> str:
    shown = ", ".join(names[:most])
    rest = len(names) - most
    return shown + (" " + language.gettext("and {n} more").format(n=rest) if rest > 0 else "")


def _fitting(names: Sequence[str], room: int, language: NullTranslations) -> str:
    used = 0
    for count, name in enumerate(names):
        used += len(name) + 2
        if used > room:
            return _listed(names, count, language)
    return ", ".join(names)


def _cut(content: str, most: int) -> str:
    return content if len(content) <= most else content[: most - 1] + "…"
