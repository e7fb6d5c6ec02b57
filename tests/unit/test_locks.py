"""Two lists of pinned packages: one to work on Lazaret, one to run it. They must not drift apart: `make lock`."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[a-z,]+\])?==(\S+)", re.MULTILINE)
TOOLS = {"hypothesis", "mypy", "playwright", "pytest", "ruff", "hatchling"}


def pinned(name: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / name).read_text(encoding="utf-8")))


def test_what_runs_is_what_was_tested() -> None:
    tested, runs = pinned("requirements.lock"), pinned("requirements-run.lock")
    assert len(runs) > 50
    assert runs == {name: version for name, version in tested.items() if name in runs}


def test_no_tool_of_ours_is_installed_where_lazaret_runs() -> None:
    assert TOOLS - set(pinned("requirements.lock")) == set()
    assert TOOLS & set(pinned("requirements-run.lock")) == set()


def test_every_dependency_of_lazaret_is_in_both() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = project.partition("\ndependencies = [")[2].partition("\n]")[0]
    wanted = set(re.findall(r'"([a-z0-9-]+)', listed))
    assert len(wanted) > 20
    assert wanted <= set(pinned("requirements-run.lock"))


def test_every_package_is_held_by_its_hash_and_comes_from_wherever_pip_is_told() -> None:
    for name in ("requirements.lock", "requirements-run.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        entries = re.split(r"\n(?=\S)", text.strip())
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
