"""The documents hold together: links resolve, blocks follow the convention, and what can go wrong has its section."""

import re
from pathlib import Path

import pytest
import yaml

from lazaret.deployments.spec import ServiceSpec
from lazaret.incidents.model import IncidentType
from lazaret.kernel.errors import LazaretError
from lazaret.probing.symptoms import Condition
from lazaret.provisioning.graph import STEPS
from lazaret.servers import access, guard, provider
from tests.documents import (
    COMMANDS,
    LANGUAGES,
    ROOT,
    WHY_NOT_RUN,
    all_pages,
    anchors_of,
    blocks_of,
    files_named_in,
    links_of,
    run_pages,
)

RUNBOOK = ROOT / "docs" / "runbooks" / "server_incident_recovery.md"
NAMES = [str(page.relative_to(ROOT)) for page in all_pages()]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    broken = []
    for link in links_of(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target)):
            broken.append(link)
    assert not broken, f"{name} links to what is not there: {broken}"


@pytest.fixture(scope="module")
def tree() -> set[str]:
    """Every file of the checkout that a page may name: by its path, or by the end of it."""
    rooms = ("src", "tests", "docs", "scripts", "deploy")
    paths = [path.relative_to(ROOT) for room in rooms for path in (ROOT / room).rglob("*") if path.is_file()]
    paths += [path.relative_to(ROOT) for path in ROOT.iterdir() if path.is_file()]
    return {"/".join(path.parts[start:]) for path in paths for start in range(len(path.parts))}


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_are_there(name: str, tree: set[str]) -> None:
    missing = files_named_in(ROOT / name) - tree
    assert not missing, f"{name} names files that are not there: {sorted(missing)}"


@pytest.mark.parametrize("page", run_pages(), ids=lambda page: page.name)
def test_blocks_follow_the_convention(page: Path) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{block.place}: {block.language or 'no language'} is none of {LANGUAGES}"
        if any(mark.startswith("not run") for mark in block.marks):
            assert block.language == COMMANDS, block.place
            assert block.why_not_run in WHY_NOT_RUN, f"{block.place}: {block.why_not_run!r} is no reason"


def test_what_is_tested_elsewhere_is_typed_there() -> None:
    """A name above a block is kept by a test of the installation, each by one block and each in use."""
    tests = (ROOT / "tests" / "acceptance" / "packing").glob("test_*.py")
    followed = {
        name for path in tests for name in re.findall(r'\b(?:follows|block)\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    named = [block.tested_elsewhere for page in run_pages() for block in blocks_of(page) if block.tested_elsewhere]
    assert sorted(named) == sorted(followed)


def test_few_commands_are_not_run() -> None:
    """The marks, listed: at most one block of commands in four is not run."""
    blocks = [block for page in run_pages() for block in blocks_of(page) if block.language == COMMANDS]
    exempt = [f"{block.place}: {block.why_not_run}" for block in blocks if block.why_not_run]
    print("\n".join(exempt))
    assert len(exempt) <= len(blocks) / 4, exempt


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links_of(index) if ":" not in link}
    listed_elsewhere = {(ROOT / "docs" / name).resolve() for name in ("decisions", "howto")}
    missing = {page.resolve() for page in all_pages()} - linked - {index.resolve()}
    assert not [page for page in missing if not listed_elsewhere.intersection(page.parents)]


@pytest.mark.parametrize("name", ["docs/runbooks/server_incident_recovery.md", "docs/howto/back_up.md"])
def test_what_a_page_says_that_you_see_is_said(name: str) -> None:
    """The quotations in tables of symptoms: between their `...` they are words of the code or of the alerts."""
    files = [*(ROOT / "src" / "lazaret").rglob("*.py"), ROOT / "deploy" / "prometheus" / "alerts.yml"]
    said = re.sub(r'"\s*\n\s*f?"', "", "\n".join(path.read_text(encoding="utf-8") for path in files))
    tables = re.findall(
        r"^\| (?:You see|`Next` says) \|.*\n\|.*\n((?:\|.*\n)+)", (ROOT / name).read_text(), re.MULTILINE
    )
    quoted = [
        span for table in tables for row in table.splitlines() for span in re.findall(r"`(.+?)`", row.split("|")[1])
    ]
    assert len(quoted) > 5
    pieces = {piece.strip() for span in quoted for piece in span.split("...")}
    assert not {piece for piece in pieces if piece not in said}


def codes_of(root: type[LazaretError]) -> set[str]:
    return {root.code}.union(*(codes_of(kind) for kind in root.__subclasses__()))


def test_whatever_can_go_wrong_has_its_section_in_the_runbook() -> None:
    """Anchors are what programs call it, so that an alert or an error code can be pasted behind the #."""
    wanted = {kind.value for kind in IncidentType} | {condition.value for condition in Condition}
    wanted |= codes_of(provider.ProviderError) | codes_of(access.AccessError) | {guard.TouchRefused.code}
    wanted |= {"converge_failed", "preflight_failed", "verification_failed", "nothing_to_install"}
    wanted |= {"password_not_given", "key_conflict", "step_timeout", "remedy_failed", "needs_a_person"}
    missing = wanted - anchors_of(RUNBOOK)
    assert not missing, missing


def test_every_alert_leads_into_the_runbook() -> None:
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    leads = re.findall(r"runbook: \S*?server_incident_recovery\.md#(\S+)", alerts)
    assert leads and not set(leads) - anchors_of(RUNBOOK)


def test_every_step_of_provisioning_is_in_the_runbook() -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    assert not [step.name for step in STEPS if f"`{step.name}`" not in text]


def test_security_says_which_part_of_a_service_is_encrypted() -> None:
    """What is kept in plain JSON is called so: a password there is read by everybody who may look."""
    table = (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    rows = [row.split("|") for row in table if row.startswith("|") and "of your services" in row]
    encrypted = {name: "encrypted" in row[2] for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    kept_plainly = ServiceSpec(image="x", container_port=80).without_secrets()
    wanted = ("environment", "compose", "files", "secrets")
    assert encrypted == {name: name not in kept_plainly for name in wanted}


def test_compose_takes_the_proxys_address_that_the_page_tells_to_set() -> None:
    """An empty value would be no address at all, not even this machine's."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services["api"]["environment"]["FORWARDED_ALLOW_IPS"] == "${FORWARDED_ALLOW_IPS:-127.0.0.1}"
    assert "`FORWARDED_ALLOW_IPS`" in (ROOT / "docs" / "howto" / "install.md").read_text(encoding="utf-8")
