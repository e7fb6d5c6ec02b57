"""The page of the safety rules names tests that exist, one row per rule, and calls no test a property that is none."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
NAMED = re.findall(r"(\*property\* )?`(tests/[\w/]+\.py)::(\w+)`", PAGE)


def _functions(path: str) -> dict[str, bool]:
    """Every test of a file, and whether it is given made-up histories."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name: any(
            isinstance(one, ast.Call) and getattr(one.func, "id", "") == "given" for one in node.decorator_list
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_all_fifteen_rules_have_their_row() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(range(1, 16))


def test_what_is_named_exists_and_is_what_it_is_called() -> None:
    for is_property, path, name in NAMED:
        assert name in _functions(path), f"{path} has no {name}"
        assert _functions(path)[name] == bool(is_property), f"{name}: property or not?"
    for path in re.findall(r"`((?:servers|healing|operations|provisioning|kernel|adapters|playbooks)/[\w/.]*)`", PAGE):
        assert (ROOT / "src/lazaret" / path).exists(), path
