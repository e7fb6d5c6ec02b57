"""What is generated from the code is committed as it would be generated now: `make docs`."""

import io
import re
from pathlib import Path

import pytest
from dotenv import dotenv_values

from lazaret.agents.graph_doc import graph_page as orchestrator_page
from lazaret.agents.tools_doc import tools_page
from lazaret.entrypoints.api.doc import api_page
from lazaret.entrypoints.cli.doc import cli_page
from lazaret.entrypoints.env_example import env_example
from lazaret.entrypoints.metrics_doc import metrics_page
from lazaret.healing.graph_doc import graph_page as recovery_page
from lazaret.kernel.settings import Settings, known_names, load_settings
from lazaret.provisioning.graph_doc import graph_page
from lazaret.servers.states_doc import states_page
from lazaret.servers.status import ServerStatus

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("path", "generate"),
    [
        ("docs/states.md", states_page),
        ("docs/provisioning_graph.md", graph_page),
        ("docs/recovery_graph.md", recovery_page),
        ("docs/orchestrator_graph.md", orchestrator_page),
        ("docs/agent_tools.md", tools_page),
        ("docs/api.md", api_page),
        ("docs/cli.md", cli_page),
        (".env.example", env_example),
        ("docs/metrics.md", metrics_page),
    ],
)
def test_committed_as_generated(path: str, generate) -> None:  # type: ignore[no-untyped-def]
    assert (ROOT / path).read_text(encoding="utf-8") == generate(), "run `make docs`"


def test_every_default_in_the_example_can_be_taken_as_it_stands() -> None:
    uncommented = re.sub(r"(?m)^#(?=[A-Z][A-Z0-9_]*=)", "", env_example())
    values = {name: value or "" for name, value in dotenv_values(stream=io.StringIO(uncommented)).items()}
    assert len(values) >= len(Settings.model_fields)
    assert load_settings(values) == load_settings({})


def test_every_status_and_every_setting_is_explained() -> None:
    page = states_page()
    assert all(f"- `{status}`: " in page for status in ServerStatus)
    example = env_example()
    assert all(f"{name}=" in example or f"also accepted as {name}" in example for name in known_names())
