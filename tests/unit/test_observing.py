"""Alerts and dashboards: tested, generated, and of metrics that there are."""

import importlib.machinery
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from lazaret.entrypoints.fleet_facts import FACTS, Fact, family_of
from lazaret.entrypoints.metrics_doc import metrics_page
from lazaret.entrypoints.zeros import start_at_zero
from lazaret.kernel.metrics import INCIDENTS, PROVIDER_CALLS, REGISTRY

ROOT = Path(__file__).parents[2]
PROMETHEUS, GRAFANA = ROOT / "deploy/prometheus", ROOT / "deploy/grafana"
RUNBOOK = ROOT / "docs/runbooks/server_incident_recovery.md"
PROMTOOL = shutil.which("promtool")


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("dashboards", str(ROOT / "scripts/dashboards"))
    spec = importlib.util.spec_from_loader("dashboards", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["dashboards"] = module
    loader.exec_module(module)
    return module


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known() -> set[str]:
    return set(re.findall(r"^\| `(\w+)`", metrics_page(), re.MULTILINE))


@pytest.mark.skipif(PROMTOOL is None, reason="There is no promtool here: apt-get install prometheus")
@pytest.mark.parametrize(
    "arguments",
    [
        ("test", "rules", "alerts.test.yml"),
        ("check", "config", "prometheus.yml"),
        ("check", "config", "localhost.yml"),
    ],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    result = subprocess.run([PROMTOOL, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_fires_in_a_test_and_says_what_to_do() -> None:
    tested = (PROMETHEUS / "alerts.test.yml").read_text()
    for rule in rules():
        assert f'alertname="{rule["alert"]}"' in tested, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_every_alert_leads_to_a_place_in_the_runbook() -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text() if RUNBOOK.exists() else "", re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for rule in rules():
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == f"/opt/lazaret/share/lazaret/{RUNBOOK.relative_to(ROOT).as_posix()}", "where the wheel brings it"
        assert anchor in anchors or not RUNBOOK.exists(), (rule["alert"], anchor)


def test_dashboards_are_as_generated() -> None:
    made = script()
    files = {path.stem for path in (GRAFANA / "dashboards").glob("*.json")}
    assert files == set(made.DASHBOARDS)
    for name in files:
        text = (GRAFANA / f"dashboards/{name}.json").read_text(encoding="utf-8")
        assert text == made.dashboard_text(name), "run `make docs`"


def test_dashboards_fit_what_is_provisioned() -> None:
    sources = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/lazaret.yml").read_text())["providers"]
    assert provider["type"] == "file" and provider["options"]["path"]
    uids = set()
    for path in (GRAFANA / "dashboards").glob("*.json"):
        board = json.loads(path.read_text())
        uids.add(board["uid"])
        assert board["title"] and board["schemaVersion"] and "id" not in board
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            assert panel["datasource"] == {"type": "prometheus", "uid": sources[0]["uid"]}
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
            taken |= cells
    assert len(uids) == 3


def test_alerts_and_panels_ask_for_metrics_that_there_are() -> None:
    asked = [rule["expr"] for rule in rules()]
    for path in (GRAFANA / "dashboards").glob("*.json"):
        asked += [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    names = {re.sub("_(bucket|sum|count)$", "", name) for one in asked for name in re.findall(r"lazaret_\w+", one)}
    assert names <= known()


def test_the_plans_names_are_there() -> None:
    plan = {"server_provisioning_duration_seconds", "server_provisioning_attempts_total"}
    assert plan | {"server_health_check_failures_total", "incidents_total"} <= known()


def test_counters_exist_at_zero_for_every_word() -> None:
    for part in ("api", "worker", "monitor", "bot"):
        start_at_zero(part)
    there = {tuple(sample.labels.values()) for sample in next(iter(INCIDENTS.collect())).samples}
    assert ("server_unreachable",) in there and ("observer_blind",) in there
    calls = {tuple(sample.labels.values()) for sample in next(iter(PROVIDER_CALLS.collect())).samples}
    assert ("list_servers", "login_refused") in calls
    assert (
        REGISTRY.get_sample_value("server_provisioning_attempts_total", {"kind": "recover", "end": "giveup"})
        is not None
    )


def test_no_label_is_a_name_of_the_fleet() -> None:
    labels = {label for fact in FACTS for label in fact.labels}
    assert not labels & {"handle", "server", "server_handle", "host", "address", "account"}


def test_what_gives_no_row_is_zero() -> None:
    fact = Fact("lazaret_x", "X.", "", {"status": ("a", "b")})
    samples = {sample.labels["status"]: sample.value for sample in family_of(fact, [("b", 3)]).samples}
    assert samples == {"a": 0, "b": 3}
    assert [sample.value for sample in family_of(Fact("lazaret_y", "Y.", "", {}), [(7,)]).samples] == [7]
