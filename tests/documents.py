"""The documents as data: their pages, fenced blocks, headings and links. Reads files; runs nothing.

The convention that these blocks follow stands in docs/README.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = "sh"
OUTPUT = "text"
LANGUAGES = {
    COMMANDS,
    OUTPUT,
    "yaml",
    "json",
    "python",
    "ini",
    "mermaid",
    "promql",
    "po",
    "diff",
    "jinja",
    "html",
    "css",
}
"""What a fence may be called. `bash` and `console` are not among them: a command must not hide from being run."""

WHY_NOT_RUN = {
    "real hosts": "boots real hosts, or needs root on them",
    "docker": "needs a Docker engine on this machine",
    "systemd": "needs systemd on this machine",
    "account": "needs an account at the provider, or a bot at Telegram",
    "network": "fetches from the internet",
    "installs": "makes the installation that the test itself stands in",
    "checks": "runs the very checks that this is one of",
}
"""The only reasons for which a command is not run."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `marks` are what stands in parentheses behind the language."""

    page: Path
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def why_not_run(self) -> str:
        return next((mark.partition(":")[2].strip() for mark in self.marks if mark.startswith("not run")), "")

    @property
    def tested_elsewhere(self) -> str:
        """The name by which a test of the installation types the block, on a machine of its own and not here."""
        return next((mark.removeprefix("tested: ") for mark in self.marks if mark.startswith("tested: ")), "")

    @property
    def exit_code(self) -> int:
        """What the block's last command ends with, `(exit 1)`."""
        return next((int(mark.removeprefix("exit ")) for mark in self.marks if mark.startswith("exit ")), 0)

    @property
    def file(self) -> str:
        """The file that the block is the content of: named by a comment in its first line."""
        found = re.match(r"# ([\w./-]+\.\w+)\n", self.text)
        return found[1] if found and self.language not in {COMMANDS, OUTPUT} else ""


def all_pages() -> list[Path]:
    """Every page of ours."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def run_pages() -> list[Path]:
    """The pages whose commands are run."""
    docs = ROOT / "docs"
    chosen = [ROOT / "README.md", docs / "README.md", docs / "provisioning_test_checklist.md"]
    return [*chosen, *sorted((docs / "runbooks").glob("*.md")), *sorted((docs / "howto").glob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    found: list[Block] = []
    text = page.read_text(encoding="utf-8")
    of_all = tuple(re.findall(r"^<!-- every block: (\w+) -->$", text, flags=re.M))
    fence, language, marks, begun, lines, above = "", "", (), 0, list[str](), ""
    for number, line in enumerate(text.splitlines(), 1):
        opening = re.match(r"\s*(```+)\s*(\w*)\s*(.*)$", line)
        if not fence and opening:
            fence, language, begun, lines = opening[1], opening[2], number, []
            of_this = re.findall(r"^<!-- (tested: \w+) -->$", above)
            marks = (*re.findall(r"\(([^)]+)\)", opening[3]), *of_all, *of_this)
        elif fence and line.strip() == fence:
            found.append(Block(page, begun, language, marks, "\n".join(lines) + "\n"))
            fence = ""
        elif fence:
            lines.append(line)
        above = line
    assert not fence, f"{page}: a fence is not closed"
    return found


def prose_of(page: Path) -> str:
    """The page without its fenced blocks and code spans."""
    text = re.sub(r"^\s*```.*?^\s*```+\s*$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors_of(page: Path) -> set[str]:
    """What can be linked to in a page: its headings as GitHub names them, and anchors of its own."""
    text = re.sub(r"^\s*```.*?^\s*```+\s*$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    found: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", text, flags=re.M):
        name = _anchor(heading)
        candidates = (name, *(f"{name}-{number}" for number in range(1, 100)))
        found.add(next(candidate for candidate in candidates if candidate not in found))
    return found


def _anchor(heading: str) -> str:
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def links_of(page: Path) -> Iterator[str]:
    """Where the links and pictures of a page lead."""
    for found in re.finditer(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", prose_of(page)):
        yield found[1]


def files_named_in(page: Path) -> set[str]:
    """The files of this project that a page names in code spans. What the plan called them is not among them."""
    text = re.sub(r"^\s*```.*?^\s*```+\s*$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    text = re.sub(r"(?<=^\| Plan \| Here \|\n)(?:\|.*\n)+", _second_column, text, flags=re.M)
    return set(re.findall(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|sh|j2|po|toml))`", text))


def _second_column(table: re.Match[str]) -> str:
    return "".join(f"{row.split('|')[2]}\n" for row in table[0].splitlines())
