"""`lazaret doctor`: checks the installation from its settings to the provider, each finding with its cure."""

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lazaret import migrations
from lazaret.entrypoints.cli.render import print_json, print_table
from lazaret.entrypoints.office import open_office
from lazaret.kernel.errors import LazaretError
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings, load_settings
from lazaret.servers.access import KeyLogin
from lazaret.servers.call_budget import InMemoryCallBudget

LEAST_FREE_MB = 500


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `state` is `ok`, `missing` (works without) or `broken`."""

    check: str
    state: str
    what: str
    cure: str = ""


async def run_doctor(*, as_json: bool) -> bool:
    """Run every check and print the findings; False when something is broken."""
    findings = await examine()
    if as_json:
        print_json({"check": f.check, "state": f.state, "what": f.what, "cure": f.cure} for f in findings)
    else:
        print_table(
            ["CHECK", "STATE", "WHAT", "CURE"], [(f.check, f.state, f.what, f.cure) for f in findings], empty=""
        )
    return all(finding.state != "broken" for finding in findings)


async def examine() -> list[Finding]:
    """Every check in the order in which one rests on the other."""
    try:
        settings = load_settings()
    except LazaretError as error:
        return [_broken("settings", error)]
    configure_logging(level="error", log_format="console", redactor=Redactor())
    findings = [Finding("settings", "ok", "all names and values are understood")]
    for name, check in CHECKS:
        try:
            findings.append(await check(name, settings))
        except LazaretError as error:
            findings.append(_broken(name, error))
        except Exception as error:  # noqa: BLE001 - a check that fails is a finding
            findings.append(Finding(name, "broken", f"{type(error).__name__}: {error}"[:200], "Look at the log."))
    return findings


def _broken(name: str, error: LazaretError) -> Finding:
    return Finding(name, "broken", error.message, error.hint)


async def _disk(name: str, settings: Settings) -> Finding:
    path = next(parent for parent in (settings.lazaret_data_dir, *settings.lazaret_data_dir.parents) if parent.exists())
    free_mb = shutil.disk_usage(path).free // 1048576
    if free_mb < LEAST_FREE_MB:
        return Finding(name, "broken", f"{free_mb} MB free at {path}", f"Make room: {LEAST_FREE_MB} MB at least.")
    return Finding(name, "ok", f"{free_mb} MB free at {path}")


async def _database(name: str, settings: Settings) -> Finding:
    async with open_office(settings, redactor=Redactor()) as office:
        current = await migrations.is_current(office.conninfo)
    kind = "DATABASE_URL" if settings.database_url else "embedded"
    if not current:
        return Finding(name, "broken", f"{kind}: another schema", "Start this version of Lazaret once.")
    return Finding(name, "ok", f"{kind}, schema is current")


async def _access_key(name: str, settings: Settings) -> Finding:
    from lazaret.adapters.ssh.access_key import access_key_of  # noqa: PLC0415

    key = access_key_of(settings)
    return Finding(name, "ok", key.public_key[:60])


async def _ansible(name: str, settings: Settings) -> Finding:
    from lazaret.adapters.ansible import load_variables  # noqa: PLC0415

    load_variables(settings.provisioning_vars_file)
    if shutil.which("ssh") is None:
        return Finding(name, "broken", "the program ssh is missing", "apt-get install openssh-client")
    program = Path(sys.executable).with_name("ansible-playbook")
    process = await asyncio.create_subprocess_exec(
        program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    first = output.decode(errors="replace").splitlines()[:1]
    if process.returncode != 0:
        return Finding(name, "broken", " ".join(first), "Run `make setup` again.")
    return Finding(name, "ok", " ".join(first))


async def _provider(name: str, settings: Settings) -> Finding:
    from lazaret.adapters.time4vps import Time4VPSClient  # noqa: PLC0415
    from lazaret.kernel.clock import SystemClock  # noqa: PLC0415

    if not settings.time4vps_login or not settings.time4vps_password:
        if settings.lazaret_static_hosts_file is not None:
            return Finding(name, "ok", "no account: the hosts of a file only")
        return Finding(
            name,
            "missing",
            "no account",
            "Set TIME4VPS_LOGIN and TIME4VPS_PASSWORD, or LAZARET_STATIC_HOSTS_FILE for hosts of your own.",
        )
    clock = SystemClock()
    client = Time4VPSClient(
        base_url=settings.time4vps_base_url,
        login=settings.time4vps_login,
        password=settings.time4vps_password,
        budget=InMemoryCallBudget(clock),
        clock=clock,
    )
    async with client:
        listed = {server.server_id for server in await client.list_servers()}
    strangers = sorted(settings.time4vps_managed_server_ids - listed)
    if strangers:
        named = ", ".join(map(str, strangers))
        return Finding(name, "broken", f"not in the account: {named}", "Mend TIME4VPS_MANAGED_SERVER_IDS.")
    managed = len(settings.time4vps_managed_server_ids)
    if not managed:
        return Finding(name, "missing", f"{len(listed)} servers, none managed", "Set TIME4VPS_MANAGED_SERVER_IDS.")
    return Finding(name, "ok", f"{len(listed)} servers, {managed} managed")


async def _hosts_file(name: str, settings: Settings) -> Finding:
    """Understood, written by its owner alone, and with every file that it names."""
    if settings.lazaret_static_hosts_file is None:
        return Finding(name, "ok", "none: not used")
    from lazaret.adapters.static import HostsFile, StaticProvider  # noqa: PLC0415

    file = HostsFile(settings.lazaret_static_hosts_file)
    hosts = file.hosts()
    if file.path.stat().st_mode & 0o022:
        return Finding(
            name, "broken", f"others may write {file.path}, and so decide what is changed", f"chmod go-w {file.path}"
        )
    provider = StaticProvider(file)
    for host in hosts:
        login = await provider.first_login(host.id)
        if isinstance(login, KeyLogin) and not os.access(login.private_key, os.R_OK):
            return Finding(
                name, "broken", f"host-{host.id}: {login.private_key} cannot be read", "Mend private_key, or drop it."
            )
    managed = sum(host.managed for host in hosts)
    what = f"{len(hosts)} hosts, {managed} managed"
    if not managed:
        return Finding(name, "missing", what, "Write `managed: true` at the hosts that Lazaret may change.")
    trusting = sum(host.managed and not host.host_keys for host in hosts)
    if trusting:
        what = f"{what}, {trusting} of these trusted on first use: pin them by host_keys"
    return Finding(name, "ok", what)


async def _anchors(name: str, settings: Settings) -> Finding:
    """Without a place outside the fleet the monitor cannot tell its own blindness from the loss of all."""
    if settings.lazaret_anchors:
        return Finding(name, "ok", ", ".join(settings.lazaret_anchors))
    if settings.has_provider or not settings.has_servers:
        return Finding(name, "ok", "the provider's API")
    return Finding(
        name,
        "missing",
        "there is no place by which the monitor sees whether it is cut off itself",
        "Set LAZARET_ANCHORS to some host:port outside your fleet.",
    )


CHECKS: tuple[tuple[str, Callable[[str, Settings], Awaitable[Finding]]], ...] = (
    ("disk", _disk),
    ("database", _database),
    ("access key", _access_key),
    ("ansible", _ansible),
    ("provider", _provider),
    ("hosts file", _hosts_file),
    ("anchors", _anchors),
)
