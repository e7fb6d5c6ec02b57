"""Lines of a stream: whatever a server prints, what is read of it can be written down, with that of all others."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lazaret.probing.reading import UnreadableReading, parse_reading
from lazaret.probing.store import reading_as_json

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def line(full: dict[str, Any] | None = None, **light: Any) -> str:
    told = {
        "machine": "m", "disks": {"/": [5, 5, 40_000]}, "docker": {"running": True, "containers": {"web": "running"}},
        "firewall": True, "failed": [], "reboot": False, "baseline": "v7",
    }  # fmt: skip
    plain = {"boot": "b", "up": 1.5, "load": 0.1, "mem": 4096, "avail": 2048, "now": NOW.timestamp()}
    return json.dumps({**plain, **light, "full": {**told, **(full or {})}})


def test_a_line_as_it_should_be() -> None:
    reading = parse_reading(line(), at=NOW)
    assert (reading.boot_id, reading.memory_total_mb, reading.memory_available_mb) == ("b", 4, 2)
    assert reading.full is not None and reading.full.disks["/"].available_mb == 40_000


@pytest.mark.parametrize("odd", ["a\x00b", "a\ud800b"])
def test_names_that_no_table_can_hold_are_read_with_a_mark(odd: str) -> None:
    full = {
        "machine": odd, "disks": {odd: [1, 1, 1]}, "docker": {"running": True, "containers": {odd: odd}},
        "failed": [odd], "baseline": odd,
    }  # fmt: skip
    reading = parse_reading(line(full, boot=odd), at=NOW)
    written = json.dumps(reading_as_json(reading), ensure_ascii=False)
    assert "\\u0000" not in written and written.encode().count("a\ufffdb".encode()) == 7


@pytest.mark.parametrize(
    "odd", [float("nan"), float("inf"), "-inf", 1e300, 10**20, 10**400], ids=lambda odd: str(odd)[:30]
)
@pytest.mark.parametrize("name", ["up", "load", "mem", "avail", "now", "disk"])
def test_a_size_of_nothing_is_no_reading(name: str, odd: float) -> None:
    told = line({"disks": {"/": [odd, 1, 1]}}) if name == "disk" else line(**{name: odd})
    with pytest.raises(UnreadableReading):
        parse_reading(told, at=NOW)
