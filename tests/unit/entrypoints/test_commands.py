"""The table of commands, and what they may import."""

import subprocess
import sys

import pytest

from lazaret.entrypoints.cli.main import COMMANDS, Lazy


@pytest.mark.parametrize("lazy", COMMANDS, ids=lambda lazy: lazy.name)
def test_the_sentence_in_the_list_is_the_commands_own(lazy: Lazy) -> None:
    own = (lazy.load().help or "").strip().split("\n\n")[0]
    assert " ".join(own.split()) == lazy.says


@pytest.mark.parametrize(
    "module", ["lazaret.entrypoints.cli.main", "lazaret.entrypoints.cli.reading", "lazaret.entrypoints.api.app"]
)
def test_what_starts_often_or_must_start_fast_imports_no_graph(module: str) -> None:
    heavy = "{'langgraph', 'langchain_core', 'langsmith', 'ansible_runner', 'telegram'}"
    script = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
