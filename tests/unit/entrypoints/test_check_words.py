"""What `lazaret check` prints: words for people, nothing where nothing is known."""

from lazaret.entrypoints.cli.healing import _in_words


def test_a_report_in_words() -> None:
    report = {
        "ok": True,
        "reasons": [],
        "docker": {"running": True, "version": "28.1", "containers": {}},
        "clock": {"unix_time": 1795774221.8633895, "synchronized": None},
        "failed_units": ["a.service", "b.service"],
        "load": [0.5, 0.25],
        "pending_reboot": False,
        "baseline_version": "",
    }
    assert _in_words(report) == {
        "reasons": "",
        "docker": "running yes, version 28.1",
        "clock": "shows 2026-11-27 10:10:21 UTC",
        "failed units": "a.service, b.service",
        "load": "0.5, 0.25",
        "pending reboot": "no",
        "baseline version": "",
    }
    assert _in_words({"clock": {"unix_time": 0.4, "synchronized": True}})["clock"] == (
        "shows 1970-01-01 00:00:00 UTC, synchronized yes"
    )
    assert _in_words({"docker": {"containers": {"running": 2, "exited": 1}}})["docker"] == (
        "containers running 2, exited 1"
    )
