"""The examination: every check after those on which it rests, the slow one last, and its findings on the screen."""

import typer

from lazaret.entrypoints.cli.render import print_json, print_table
from lazaret.entrypoints.doctor.backups import check_backup
from lazaret.entrypoints.doctor.clocks import check_clocks
from lazaret.entrypoints.doctor.database import check_database, check_schema
from lazaret.entrypoints.doctor.directory import check_directory
from lazaret.entrypoints.doctor.finding import Checks, Finding, NotLookedAt, Patient, State
from lazaret.entrypoints.doctor.hosts_file import check_anchors, check_hosts_file
from lazaret.entrypoints.doctor.keys import check_access_key, check_master_key
from lazaret.entrypoints.doctor.processes import check_processes
from lazaret.entrypoints.doctor.programs import check_ansible
from lazaret.entrypoints.doctor.provider import check_provider
from lazaret.entrypoints.doctor.telegram import check_telegram
from lazaret.entrypoints.office import hide_secrets
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.settings import environment, load_settings, names_passed_over

CHECKS: Checks = (
    ("disk", check_directory),
    ("database", check_database),
    ("schema", check_schema),
    ("master key", check_master_key),
    ("access key", check_access_key),
    ("provider", check_provider),
    ("hosts file", check_hosts_file),
    ("anchors", check_anchors),
    ("telegram", check_telegram),
    ("clocks", check_clocks),
    ("processes", check_processes),
    ("ansible", check_ansible),
    ("backup", check_backup),
)


async def run_doctor(*, as_json: bool) -> bool:
    """Run every check and print the findings; False when something is broken."""
    try:
        patient = Patient(load_settings())
    except LazaretError as error:
        findings = [_broken("settings", error)]
    else:
        configure_logging(level="error", log_format="console", redactor=patient.redactor)
        findings = [judge_names(names_passed_over(environment())), *await examine(patient)]
    if as_json:
        print_json({"check": f.check, "state": f.state, "what": f.what, "cure": f.cure} for f in findings)
    else:
        _show(findings)
    return all(finding.state is not State.BROKEN for finding in findings)


def _show(findings: list[Finding]) -> None:
    rows = [(f.check, f.state, "as below" if f.is_to_copy else f.what, f.cure) for f in findings]
    print_table(["CHECK", "STATE", "WHAT", "CURE"], rows, empty="")
    for finding in findings:
        if finding.is_to_copy:
            typer.echo(f"\n{finding.check}:\n{finding.what}")


async def examine(patient: Patient, checks: Checks = CHECKS) -> list[Finding]:
    """Every finding; no check can keep another from being made."""
    hide_secrets(patient.settings, patient.redactor)
    findings = []
    async with patient.closing:
        for name, check in checks:
            try:
                findings.append(await check(name, patient))
            except NotLookedAt as gap:
                findings.append(Finding(name, State.UNKNOWN, gap.why, gap.cure))
            except LazaretError as error:
                findings.append(_broken(name, error))
            except Exception as error:  # noqa: BLE001 - a check that fails is a finding
                text = patient.redactor.clean(f"{type(error).__name__}: {error}")[:200]
                cure = "This is a case that the doctor does not know: please report it with this line."
                findings.append(Finding(name, State.BROKEN, text, cure))
    return findings


def judge_names(passed_over: list[str]) -> Finding:
    """All settings were read. What only begins like one may be another program's, or misspelt by more than a letter."""
    what = "all names and values are understood"
    if passed_over:
        what += f"; passed over, as other programs': {', '.join(passed_over)}"
    return Finding("settings", State.OK, what)


def _broken(name: str, error: LazaretError) -> Finding:
    return Finding(name, State.BROKEN, error.message, error.hint)
