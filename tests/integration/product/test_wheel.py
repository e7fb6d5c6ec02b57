"""The wheel, as somebody gets it who has never seen this repository.

It is installed into an environment of its own. The libraries it needs are those of the tests' environment, whose
directory is on its path: installing a hundred of them again is what the acceptance test of the installation does. Our
own sources are not on that path, which the first test holds.
"""

import asyncio
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.documents import all_pages, links_of
from tests.integration.product.conftest import Shell, start_up

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = directory.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment's directory."""
    directory = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(directory, symlinks=True)
    (site,) = directory.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin/python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    return directory


@pytest.fixture
async def lab(shell: Shell, installed: Path) -> AsyncIterator[dict[str, str]]:
    """A lab with one simulated host, started by the installed command; its variables."""
    program = str(installed / "bin/lazaret")
    up = ("lab", "up", "--simulated", "--hosts", "1", "--env", "--state-dir", str(shell.directory / "labs"))
    made = await shell.run(*up, program=program)
    try:
        assert made.code == 0, made
        assert "TIME4VPS_BASE_URL" in made.out, made
        yield {name: value.strip("'\"") for name, value in re.findall(r"^export (\w+)=(.*)$", made.out, re.MULTILINE)}
    finally:
        ended = await shell.run("lab", "down", "--state-dir", str(shell.directory / "labs"), program=program)
    assert ended.code == 0, ended


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "src/lazaret"], cwd=ROOT, check=True, capture_output=True, text=True)
    tracked = {path.removeprefix("src/") for path in listed.stdout.split()}
    assert {"lazaret/py.typed", "lazaret/probing/stream.sh", "lazaret/locale/ru/LC_MESSAGES/lazaret.po"} <= tracked
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert tracked - inside == set()
    own = {name for name in inside if name.startswith("lazaret/")}
    assert {name for name in own - tracked if "__pycache__" in name or name.endswith((".pyc", ".orig"))} == set()


def test_what_an_operator_needs_is_in_the_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shared = {name.partition(".data/data/share/lazaret/")[2] for name in names}
    wanted = {"systemd/lazaret.service", "systemd/lazaret@.service", "systemd/lazaret.target", "systemd/lazaret"}
    wanted |= {"systemd/lazaret-backup.service", "systemd/lazaret-backup.timer"}
    wanted |= {"prometheus/localhost.yml", "prometheus/alerts.yml", "grafana/dashboards/fleet.json"}
    wanted |= {"make-secrets", "requirements-run.lock", "env.example", "test_force_rebuild.sh"}
    assert wanted | {str(page.relative_to(ROOT)) for page in all_pages()} <= shared
    assert not [name for name in names if name.endswith((".jpg", ".png"))], "pictures make it heavy"
    metadata = next(name for name in names if name.endswith("/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "License-Expression: Apache-2.0" in text
    assert "Description-Content-Type: text/markdown" in text
    assert "/licenses/LICENSE" in " ".join(names)


def test_the_documents_can_be_read_beside_it(installed: Path) -> None:
    """Links lead from page to page, and what units, alerts and the command say is where they say it."""
    share = installed / "share" / "lazaret"
    for page in (share / path.relative_to(ROOT) for path in all_pages()):
        linked = {link.partition("#")[0] for link in links_of(page) if ":" not in link}
        assert [link for link in linked if link.endswith(".md") and not (page.parent / link).exists()] == [], page
    files = [path for path in share.rglob("*") if path.is_file() and path.suffix != ".md"]
    said = "\n".join(path.read_text(encoding="utf-8") for path in files)
    named = set(re.findall(r"/opt/lazaret/share/lazaret/([\w./-]+\.md)", said))
    assert {"docs/runbooks/server_incident_recovery.md", "docs/howto/install.md", "docs/README.md"} <= named
    assert [name for name in named if not (share / name).exists()] == []
    assert os.access(share / "test_force_rebuild.sh", os.X_OK)


async def test_a_hint_names_a_document_that_can_be_opened(shell: Shell, installed: Path) -> None:
    shell.environment["SERVER_SYNC_INTERVAL"] = "often"
    told = await shell.run("servers", program=str(installed / "bin/lazaret"))
    assert f"{installed}/share/lazaret/env.example" in told.err, told
    assert (installed / "share/lazaret/env.example").is_file()


async def test_it_starts_from_the_wheel_and_from_nothing_else(shell: Shell, installed: Path) -> None:
    where = ("-c", "import lazaret; print(lazaret.__file__)")
    found = await shell.run(*where, program=str(installed / "bin/python"))
    assert Path(found.out.strip()).is_relative_to(installed), found
    program = str(installed / "bin/lazaret")
    assert (await shell.run("--version", program=program)).out.startswith("lazaret ")

    up = await start_up(shell, program=program)
    try:
        async with httpx.AsyncClient(base_url=up.url, trust_env=False, timeout=20) as client:
            assert (await client.get("/readyz")).json() == {"status": "ready"}
            page = await client.get("/sign-in", headers={"Accept-Language": "ru"})
            assert page.status_code == 200
            assert "Войти" in page.text, "the Russian texts are inside"
            parts = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
            assert len(parts) >= 3
            for part in parts:
                assert (await client.get(part)).status_code == 200, part
    finally:
        assert await up.end() == 0


async def test_it_sets_a_server_up(shell: Shell, installed: Path, lab: dict[str, str]) -> None:
    shell.environment |= lab | {"SERVER_SYNC_INTERVAL": "1"}
    program = str(installed / "bin/lazaret")
    up = await start_up(shell, program=program)
    try:
        async with up.client() as client, asyncio.timeout(120):
            while True:
                rows = (await client.get("/api/servers/")).json()["items"]
                if [row["status"] for row in rows] == ["ready"]:
                    break
                assert "error" not in [row["status"] for row in rows], rows
                await asyncio.sleep(0.5)
    finally:
        assert await up.end() == 0
