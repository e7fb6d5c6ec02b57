"""A real Prometheus scrapes real processes while something happens; no panel is empty and every alert can be asked."""

import asyncio
import json
import math
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import select

from lazaret.entrypoints.office import Office, open_office
from lazaret.incidents.model import Incident
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings
from lazaret.lab.instance import Lab
from lazaret.lab.telegram.client import Phone
from lazaret.lab.telegram.server import TelegramServer
from tests.healing_scene import HURRY

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
PROMETHEUS = shutil.which("prometheus")
LAZARET = str(Path(sys.executable).with_name("lazaret"))
ANN = 501
PARTS = ("api", "worker", "monitor", "bot")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(PROMETHEUS is None, reason="There is no Prometheus here: apt-get install prometheus"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@dataclass
class Observatory:
    """The processes, Prometheus, and a phone."""

    lab: Lab
    office: Office
    directory: Path
    environment: dict[str, str]
    phone: Phone
    http: httpx.AsyncClient
    ports: dict[str, int]
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def begin(self, part: str) -> None:
        own = {"LAZARET_PORT" if part == "api" else "LAZARET_METRICS_PORT": str(self.ports[part])}
        with (self.directory / f"{part}.log").open("ab") as log:
            self.processes[part] = await asyncio.create_subprocess_exec(
                LAZARET, part, env=self.environment | own, cwd=self.directory, stdout=log, stderr=log
            )

    async def begin_prometheus(self) -> None:
        config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "1s"}
        config["rule_files"] = [str(DEPLOY / "prometheus/alerts.yml")]
        targets = [f"127.0.0.1:{self.ports[part]}" for part in PARTS]
        (job,) = (one for one in config["scrape_configs"] if one["job_name"] == "lazaret")
        config["scrape_configs"] = [job | {"static_configs": [{"targets": targets}]}]
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        assert PROMETHEUS is not None
        with (self.directory / "prometheus.log").open("wb") as log:
            self.processes["prometheus"] = await asyncio.create_subprocess_exec(
                PROMETHEUS,
                f"--config.file={self.directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
                stdout=log,
                stderr=log,
            )

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers now. Raises when it does not understand."""
        answer = await self.http.get("/api/v1/query", params={"query": expression})
        body = answer.json()
        assert body["status"] == "success", (expression, body)
        result = body["data"]["result"]
        return result if body["data"]["resultType"] == "vector" else [{"value": result}]

    async def numbers(self, expression: str) -> list[float]:
        return [float(one["value"][1]) for one in await self.ask(expression)]

    async def until(self, expression: str, *, timeout_s: float) -> None:
        """Prometheus answers something to this."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        if await self.ask(expression):
                            return
                    except (httpx.TransportError, ValueError):
                        pass  # it is still starting
                    await asyncio.sleep(0.25)
        except TimeoutError:
            logs = {path.name: path.read_text()[-1500:] for path in self.directory.glob("*.log")}
            raise AssertionError(f"not within {timeout_s} s: {expression}\n{logs}") from None

    async def end(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.terminate()
        for process in self.processes.values():
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def observatory_of(directory: Path) -> AsyncIterator[Observatory]:
    lab = Lab(name=f"o{os.getpid()}", hosts=2, simulated=True, state_dir=None)
    ports = {name: free_port() for name in (*PARTS, "prometheus")}
    async with (
        lab,
        TelegramServer().running() as telegram,
        httpx.AsyncClient(base_url=telegram.root_url, timeout=30) as messenger,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports['prometheus']}", timeout=10) as http,
    ):
        phone = await Phone.of(messenger, ANN, "Ann")
        environment = (
            lab.environment()
            | HURRY
            | telegram.environment(ANN)
            | {"LAZARET_DATA_DIR": str(directory / "data"), "LAZARET_SILENT_AFTER": "4"}
        )
        async with open_office(load_settings(environment), redactor=Redactor()) as office:
            outside = {"PATH": os.environ["PATH"], "HOME": str(directory), "DATABASE_URL": office.conninfo}
            made = Observatory(lab, office, directory, environment | outside, phone, http, ports)
            try:
                await made.begin_prometheus()
                for part in PARTS:
                    await made.begin(part)
                yield made
            finally:
                await made.end()


@pytest.fixture
async def observatory() -> AsyncIterator[Observatory]:
    directory = Path(tempfile.mkdtemp(prefix="lazaret-observing-"))
    directory.chmod(0o755)
    try:
        async with observatory_of(directory) as made:
            yield made
            for log in directory.glob("*.log"):
                assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def asked_by_panels() -> list[tuple[str, str]]:
    """Every query of every panel, as Grafana would send it for the last two minutes."""
    found = []
    for path in sorted((DEPLOY / "grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__range", "2m").replace("$__rate_interval", "2m")
                assert "$" not in query, query
                found.append((f"{path.stem}: {panel['title']}", query))
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


async def test_an_incident_is_seen_in_every_panel_and_the_death_of_a_monitor_is_told(observatory: Observatory) -> None:
    seen = observatory
    await seen.until('count(up{job="lazaret"} == 1) == 4', timeout_s=120)
    await seen.until('lazaret_servers{status="ready"} == 2', timeout_s=60)
    await seen.until(
        'lazaret_servers_watched{phase="well"} == 2 and on () lazaret_reading_lag_seconds_count > 2', timeout_s=60
    )
    await seen.phone.ask("/start")
    await asyncio.sleep(1)  # the counters at zero are in
    lost = seen.lab.cloud.servers()[0]
    await seen.lab.cloud.power_off(lost.server_id)
    await seen.until('sum(lazaret_incidents_open{type="server_unreachable"}) > 0', timeout_s=60)
    await seen.until("sum(increase(lazaret_recovery_seconds_count[2m])) > 0", timeout_s=90)
    async with seen.office.db.transaction() as session:
        kinds = list(await session.scalars(select(Incident.incident_type)))
    assert kinds == ["server_unreachable"]

    empty = []
    for panel, query in asked_by_panels():
        numbers = await seen.numbers(query)
        if not any(math.isfinite(number) for number in numbers):
            empty.append((panel, query, numbers))
    assert empty == []
    for rule in alerts():
        await seen.ask(rule["expr"])
        for name in set(re.findall(r"\b(?:lazaret_\w+|server_\w+_total|incidents_total|up\b)", rule["expr"])):
            assert await seen.ask(f"count({name})"), (rule["alert"], name)
    rules = (await seen.http.get("/api/v1/rules")).json()["data"]["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} == {"ok"}

    monitor = seen.processes["monitor"]
    monitor.kill()
    await monitor.wait()
    told = await seen.phone.until(
        lambda one: "monitor" in one["text"] and "has not been heard of" in one["text"], timeout_s=40
    )
    assert "nobody else does its work" in told["text"]
    await seen.until('lazaret_processes{part="monitor", state="silent"} == 1', timeout_s=20)
    await seen.begin("monitor")
    await seen.phone.until(lambda one: "monitor" in one["text"] and "is back" in one["text"], timeout_s=40)
