"""What messages say, in two languages, and that nothing a person wrote can break them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaret.alerting.cards import IncidentFacts, Line, Told, digest, incident_card, note, reminder
from lazaret.alerting.model import Level
from lazaret.alerting.words import duration
from lazaret.incidents.model import IncidentStatus
from lazaret.kernel.i18n import LANGUAGES, translator
from lazaret.lab.telegram.markup import parse_markdown, utf16

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
FACTS = IncidentFacts(
    id=7,
    handle="vps-1",
    address="203.0.113.7",
    incident_type="server_unreachable",
    cause="silent",
    status=IncidentStatus.RECOVERING,
    level=Level.ERROR,
    began_at=NOW - timedelta(seconds=13),
    detected_at=NOW,
    resolved_at=None,
    services=["shop", "blog"],
    newest=[Line(NOW, "begins: reboot. so", "begins: {remedy}. {because}", {"remedy": "reboot", "because": "so"})],
)
hostile = st.text(max_size=60) | st.sampled_from(["{0}", "{because}", "%(x)s", "*_[`", "\\", "🚨" * 30])


@pytest.mark.parametrize(
    ("language", "says"),
    [
        (
            "en",
            ["does not answer at all", "being recovered", "13 s after the first sign", "shop, blog", "begins: reboot"],
        ),
        ("ru", ["совсем не отвечает", "восстанавливается", "первого признака", "shop, blog", "начато: перезагрузка"]),
    ],
)
def test_a_card_in_each_language(language: str, says: list[str]) -> None:
    shown, _ = parse_markdown(incident_card(FACTS, translator(language)).markdown)
    assert all(one in shown for one in says), shown


def test_a_card_that_is_closed_tells_cause_and_times() -> None:
    over = replace(FACTS, status=IncidentStatus.RESOLVED, resolved_at=NOW + timedelta(seconds=100))
    shown = incident_card(over, translator("en")).plain
    assert shown.startswith("✅ vps-1 203.0.113.7 · does not answer at all")
    assert "Over. Detected in 13 s, recovered in 1 min 40 s." in shown


@given(hostile, hostile, hostile, st.sampled_from(LANGUAGES))
def test_whatever_a_server_or_person_wrote_a_message_can_be_sent(one: str, two: str, three: str, language: str) -> None:
    words = translator(language)
    facts = replace(
        FACTS,
        address=one,
        services=[two],
        acknowledged_by=three,
        newest=[Line(NOW, one, "{x} {y}", {"x": two, "y": three})],
    )
    told = [Told(Level.ERROR, facts), Told(Level.INFO, None, "{text}", {"text": one})]
    for message in (
        incident_card(facts, words),
        reminder(facts, 400, words),
        digest(told, words),
        note(Level.ERROR, "{text}", {"text": one}, words),
    ):
        shown, _ = parse_markdown(message.markdown)
        assert shown == message.plain


@pytest.mark.parametrize("count", [1, 40, 300, 3000])
def test_a_digest_fits_into_one_message(count: int) -> None:
    told = [
        Told(Level.ERROR, replace(FACTS, handle=f"vps-{n}", cause=("silent", "disk_full")[n % 2])) for n in range(count)
    ]
    message = digest(told, translator("ru"))
    assert utf16(message.plain) <= 4096
    if count <= 300:
        assert all(f"vps-{n}" in message.plain for n in range(count))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59, "59 s"), (100, "1 min 40 s"), (700, "11 min"), (7500, "2 h 5 min"), (200_000, "2 d 7 h")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds, translator("en")) == said
