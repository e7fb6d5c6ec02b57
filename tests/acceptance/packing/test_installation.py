"""Lazaret is installed on a real machine by the commands of docs/howto/install.md, both ways, and keeps its state."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from lazaret.lab.commands import CommandFailed
from lazaret.lab.real_hosts import missing_for_real_hosts
from tests.acceptance.packing.conftest import ROOT, Machine, block
from tests.acceptance.packing.images import ENVIRONMENT, MAKE_IMAGES, OVERRIDE

MISSING = missing_for_real_hosts()
pytestmark = [
    pytest.mark.real_host,
    pytest.mark.long,
    pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING)),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1800),
]

UNITS = ("lazaret.service", "lazaret@api.service", "lazaret@worker.service", "lazaret@monitor.service")
KEPT_AT = "/var/lib/lazaret/fleet.backup"
READY = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8000/readyz\").read().decode())'"


async def until(what: str, good: Callable[[], Awaitable[bool]], *, timeout_s: float = 90) -> None:
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while not await good():
        assert asyncio.get_running_loop().time() < deadline_s, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(1)


async def answers(machine: Machine) -> bool:
    try:
        return '"ready"' in await machine.does(READY)
    except CommandFailed:
        return False


async def shown(machine: Machine, unit: str, *names: str) -> dict[str, str]:
    lines = await machine.does(f"systemctl show {unit} -p {','.join(names)}")
    return dict(line.split("=", 1) for line in lines.split())


async def test_the_wheel_runs_as_a_service(machine: Machine) -> None:
    await machine.follows("wheel", directory="/root/install")
    await machine.follows("units", directory="/root/install")
    await until("the service answers", lambda: answers(machine))
    assert (await shown(machine, "lazaret", "User", "NRestarts")) == {"User": "lazaret", "NRestarts": "0"}
    findings = json.loads(await machine.does("lazaret doctor --json"))
    assert [finding for finding in findings if "broken" in finding.values()] == []
    assert "root root 600" in await machine.does("stat -c '%U %G %a' /etc/lazaret/secrets/secret_key")


async def test_the_units_are_sound_and_keep_to_themselves(machine: Machine) -> None:
    assert await machine.does(f"systemd-analyze verify {' '.join(UNITS)} lazaret.target 2>&1") == ""
    for unit in UNITS:
        await machine.does(f"systemd-analyze security --threshold=20 {unit}")
    process = (await shown(machine, "lazaret", "MainPID"))["MainPID"]
    rights = await machine.does(f"grep -E 'CapEff|NoNewPrivs' /proc/{process}/status")
    assert rights.split() == ["CapEff:", "0000000000000000", "NoNewPrivs:", "1"]


async def test_a_service_that_is_killed_comes_back_with_its_state(machine: Machine) -> None:
    await machine.does("lazaret token create kept --role viewer")
    await machine.does("systemctl kill --signal=KILL --kill-whom=main lazaret")

    async def restarted() -> bool:
        return (await shown(machine, "lazaret", "NRestarts"))["NRestarts"] == "1" and await answers(machine)

    await until("it was restarted and answers", restarted)
    names = [row["name"] for row in json.loads(await machine.does("lazaret token list --json"))]
    assert "kept" in names


async def test_a_backup_by_the_timer_is_restored_by_the_page(machine: Machine) -> None:
    """The service backs itself up while it runs; on the same machine, emptied, the backup is all that is left."""
    await machine.follows("backup", directory="/root")
    assert await machine.does("systemd-analyze verify lazaret-backup.service lazaret-backup.timer 2>&1") == ""
    await machine.does("systemd-analyze security --threshold=20 lazaret-backup.service")
    assert await machine.does("systemctl is-active lazaret-backup.timer") == "active\n"
    made = (await machine.does("stat -c '%n %U %a' /var/lib/lazaret-backups/*")).split()
    assert made[1:] == ["lazaret", "600"]
    await machine.does(f"cp {made[0]} /root/fleet.backup; cp /etc/lazaret/secrets/backup_passphrase /root/passphrase")
    await machine.does(f"cd /root\n{indented('systemctl stop lazaret')}")
    await machine.does("systemctl start lazaret")
    await until("it answers from the backup", lambda: answers(machine))
    assert "restored from a backup" in await machine.does("lazaret holds")
    assert "kept" in [row["name"] for row in json.loads(await machine.does("lazaret token list --json"))]
    await machine.does("lazaret unfreeze")


def indented(first: str) -> str:
    """The commands that back_up.md shows without a fence, from that line on."""
    page = (ROOT / "docs/howto/back_up.md").read_text(encoding="utf-8")
    found = re.search(rf"^    {re.escape(first)}\n(?:    .*\n)+", page, re.MULTILINE)
    assert found is not None, first
    return found[0]


async def test_a_newer_wheel_is_installed_over_it(machine: Machine) -> None:
    """The same wheel stands for the newer one; what is upgraded answers again, with its state."""
    before = (await shown(machine, "lazaret", "MainPID"))["MainPID"]
    await machine.follows("upgrade", directory="/root/install")
    await until("it answers again", lambda: answers(machine))
    assert (await shown(machine, "lazaret", "MainPID"))["MainPID"] != before
    assert "kept" in [row["name"] for row in json.loads(await machine.does("lazaret token list --json"))]


async def test_prometheus_beside_the_service_sees_it(machine: Machine) -> None:
    await machine.follows("prometheus")
    await until("Prometheus sees the service", lambda: seen(machine, 'up{instance="localhost:8000"', "=> 1 @"))
    assert not await asked(machine, "ALERTS", 'alertstate="firing"'), "nothing is wrong"
    listening = (await machine.does("ss -tlnH 'sport = :9090'")).split()
    assert listening[3] == "127.0.0.1:9090"


async def test_a_rehearsal_finds_its_way_by_the_runbook(machine: Machine) -> None:
    """As a newcomer does it: a server of the lab is lost, Prometheus shows it, and `why` leads back to well."""
    assert "/opt/lazaret/bin/lazaret lab" in await machine.does("lazaret lab up 2>&1 || true"), "it leads to the page"
    try:
        await machine.follows("rehearse")
        up = f"systemd-run --quiet --unit rehearsal --setenv=HOME=/root bash -c '{block('rehearse')}exec lazaret up'"
        await machine.does(up)
        await until("it answers", lambda: answers(machine))
        await until("both servers are ready", lambda: typed(machine, "lazaret servers", " ready .*\n.* ready "))
        await until("Prometheus sees them ready", lambda: seen(machine, 'status="ready"', "=> 2 @"))
        await machine.follows("rehearse", then="lazaret freeze vps-900001 --for 1h --reason rehearsal")
        await machine.follows("rehearse", then=block("lose"))
        await until("the loss is an incident", lambda: typed(machine, "lazaret incidents --active", "vps-900001"))
        lost = 'lazaret_incidents_open{type="server_unreachable",status="detected"}'
        await until("Prometheus shows it", lambda: asked(machine, lost, "=> 1 @"))
        await until("the alert is pending", lambda: asked(machine, "ALERTS", 'LazaretServerLost".*"pending"'))
        why = await machine.follows("rehearse", then="lazaret why vps-900001")
        assert re.search("Held back by\n.*rehearsal", why), why
        await machine.follows("rehearse", then="lazaret unfreeze vps-900001")
        await until(
            "it is well", lambda: typed(machine, "lazaret why vps-900001", "it is watched; nothing is to be done")
        )
    finally:
        await machine.does("systemctl stop rehearsal || true")
        await machine.follows("rehearse", then="lazaret lab down; rm -r /var/lib/lazaret-rehearsal")
        await machine.does("systemctl start lazaret")
    await until("the service answers again", lambda: answers(machine))


async def typed(machine: Machine, command: str, wanted: str) -> bool:
    """Whether a command of the rehearsal prints that."""
    return re.search(wanted, await machine.follows("rehearse", then=command)) is not None


async def asked(machine: Machine, expression: str, wanted: str) -> bool:
    """Whether Prometheus answers so."""
    printed = await machine.does(f"promtool query instant http://localhost:9090 '{expression}'")
    return re.search(wanted, printed) is not None


async def seen(machine: Machine, what: str, value: str) -> bool:
    """Whether Prometheus answers so to what the page lets ask."""
    try:
        lines = (await machine.follows("seen")).splitlines()
    except CommandFailed:
        return False  # it has just been started
    return any(what in line and value in line for line in lines)


async def test_a_wrong_setting_is_said_once_and_not_tried_again(machine: Machine) -> None:
    await machine.does("echo LAZARET_PROT=1 >> /etc/lazaret/lazaret.env; systemctl restart lazaret")

    async def failed() -> bool:
        return (await shown(machine, "lazaret", "ActiveState"))["ActiveState"] == "failed"

    await until("it gave up", failed)
    assert (await shown(machine, "lazaret", "ExecMainStatus", "NRestarts")) == {"ExecMainStatus": "2", "NRestarts": "0"}
    assert "Did you mean LAZARET_PORT" in await machine.does("journalctl -u lazaret --no-pager -n 20")
    await machine.does("sed -i /LAZARET_PROT/d /etc/lazaret/lazaret.env; systemctl restart lazaret")
    await until("it answers again", lambda: answers(machine))
    await machine.does("systemctl stop lazaret")
    assert (await shown(machine, "lazaret", "Result"))["Result"] == "success"


async def test_compose_brings_every_process_up_healthy(machine: Machine) -> None:
    checkout = machine.disk / "root/checkout"
    (checkout / ".env").write_text(ENVIRONMENT, encoding="utf-8")
    (checkout / "compose.override.yaml").write_text(OVERRIDE, encoding="utf-8")
    await machine.does(MAKE_IMAGES, timeout_s=600)
    await machine.does("mkdir -m 700 /root/checkout/secrets; echo 1:token > /root/checkout/secrets/telegram_bot_token")
    await machine.follows("compose", directory="/root/checkout", timeout_s=900)
    states = await health(machine)
    assert states == dict.fromkeys(("api", "worker", "monitor", "bot", "db", "prometheus"), "running healthy")


async def test_the_doctor_in_its_container_finds_only_what_the_test_took_away(machine: Machine) -> None:
    command = block("doctor").strip()
    told = await machine.does(f"cd /root/checkout; {command} --json || test $? = 1")
    findings = json.loads(told)
    assert [finding["check"] for finding in findings if "broken" in finding.values()] == ["telegram"], told


async def test_compose_serves_and_is_observed(machine: Machine) -> None:
    async with httpx.AsyncClient(base_url=f"http://{machine.host.address}:8080", trust_env=False, timeout=20) as client:
        assert (await client.get("/readyz")).json() == {"status": "ready"}
        assert "# TYPE" in (await client.get("/metrics")).text

    async def all_up() -> bool:
        ask = "docker compose exec -T prometheus promtool query instant http://127.0.0.1:9090 up"
        lines = (await machine.does(f"cd /root/checkout; {ask}")).splitlines()
        return len(lines) == 5 and all("=> 1 @" in line for line in lines)

    await until("Prometheus sees all its targets up", all_up)


async def test_containers_have_no_privileges(machine: Machine) -> None:
    ask = "for one in api worker monitor bot; do docker compose exec -T $one sh -c '%s'; done"
    seen = await machine.does(
        f"cd /root/checkout; {ask}" % "id -u; grep CapEff /proc/1/status; touch /opt/x 2>&1 || true"
    )
    assert seen.count("10001") == 4
    assert seen.count("CapEff:\t0000000000000000") == 4
    assert seen.count("Read-only file system") == 4


async def test_compose_keeps_its_state(machine: Machine) -> None:
    before = await keys(machine)
    await machine.does("cd /root/checkout; docker compose exec -T api lazaret token create kept --role viewer")
    await machine.does("cd /root/checkout; docker compose down 2>&1; docker compose up -d --wait 2>&1", timeout_s=400)
    listed = json.loads(await machine.does("cd /root/checkout; docker compose exec -T api lazaret token list --json"))
    assert "kept" in [row["name"] for row in listed]
    assert await keys(machine) == before
    assert set((await health(machine)).values()) == {"running healthy"}


async def test_containers_back_themselves_up(machine: Machine) -> None:
    commands = indented(f"docker compose exec -T api lazaret backup {KEPT_AT} --passphrase-stdin < passphrase")
    await machine.does(f"cd /root/checkout; cp /root/passphrase .\n{commands}")
    await machine.does("install -o lazaret -m 600 /root/checkout/fleet.backup /var/tmp/compose.backup")
    check = "lazaret restore /var/tmp/compose.backup --check --passphrase-stdin < /root/passphrase"
    assert "is whole" in await machine.does(check)


async def test_one_process_per_job_with_a_database_of_ones_own(machine: Machine) -> None:
    """The target's processes use the container's database, in place of the containers."""
    await machine.does("""cd /root/checkout
docker compose stop api worker monitor bot 2>&1
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' lazaret-db-1)
sed "s/@db/@$address/" secrets/database_url > /etc/lazaret/secrets/database_url
cat secrets/secret_key > /etc/lazaret/secrets/secret_key
systemctl disable --now lazaret.service 2>&1
systemctl enable --now lazaret.target 2>&1""")
    await until("the API answers", lambda: answers(machine))
    for part in ("api", "worker", "monitor"):
        state = await shown(machine, f"lazaret@{part}", "ActiveState", "NRestarts")
        assert state == {"ActiveState": "active", "NRestarts": "0"}, part
    listed = json.loads(await machine.does("lazaret token list --json"))
    assert "kept" in [row["name"] for row in listed]


async def health(machine: Machine) -> dict[str, str]:
    """Of every service that Compose runs, its state and its health."""
    out = await machine.does("cd /root/checkout; docker compose ps -a --format json")
    rows: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    return {row["Service"]: f"{row['State']} {row['Health']}" for row in rows}


async def keys(machine: Machine) -> str:
    """The key to the servers; every process must see the same."""
    ask = "for one in api worker monitor bot; do docker compose exec -T $one sha256sum ssh/access_key; done"
    (key,) = set((await machine.does(f"cd /root/checkout; {ask}")).split("\n")) - {""}
    return key
