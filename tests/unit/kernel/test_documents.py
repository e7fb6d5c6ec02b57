"""A document is named so that whoever reads the message can open it."""

import ast
import re
from pathlib import Path

from lazaret.kernel.documents import document

ROOT = Path(__file__).parents[3]
PAGE = "docs/howto/back_up.md"


def made(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
    return directory


def test_in_a_checkout_it_is_named_as_it_lies_there(tmp_path: Path) -> None:
    checkout, installed = made(tmp_path / "checkout", PAGE), made(tmp_path / "share", PAGE)
    assert document(PAGE, checkout=checkout, installed=installed) == PAGE


def test_beside_an_installed_wheel_it_is_named_with_its_directory(tmp_path: Path) -> None:
    installed = made(tmp_path / "share", PAGE, "env.example")
    assert document(PAGE, checkout=tmp_path / "lib", installed=installed) == f"{installed}/{PAGE}"
    assert document(".env.example", checkout=tmp_path / "lib", installed=installed) == f"{installed}/env.example"


def test_where_there_are_no_documents_it_keeps_its_name(tmp_path: Path) -> None:
    assert document(PAGE, checkout=tmp_path, installed=tmp_path) == PAGE


def test_every_document_that_a_message_names_is_there() -> None:
    named = set()
    for path in (ROOT / "src" / "lazaret").rglob("*.py"):
        named |= set(re.findall(r"""\bdocument\(["']([^"']+)["']""", path.read_text(encoding="utf-8")))
    assert len(named) > 3
    assert not {name for name in named if not (ROOT / name).exists()}


def test_no_hint_names_a_document_that_an_installed_machine_has_elsewhere() -> None:
    wrong = []
    for path in (ROOT / "src" / "lazaret").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            for word in node.keywords:
                text = ast.unparse(word.value)
                named = re.search(r"(?<!org/)docs/|README|\.env\.example", text)  # pages of others are elsewhere
                if word.arg == "hint" and "document(" not in text and named:
                    wrong.append(f"{path.name}:{node.lineno}: {text}")
    assert not wrong
