"""A backup is one moment of the installation under a passphrase; restored elsewhere it watches, and touches nothing."""

import asyncio
import dataclasses
import json
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, text

from lazaret import migrations
from lazaret.adapters.ssh.access_key import access_key_of
from lazaret.entrypoints.doctor.backups import check_backup
from lazaret.entrypoints.doctor.finding import Patient
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.safekeeping.backup import write_backup
from lazaret.entrypoints.safekeeping.contents import LEFT_OUT, tables_of
from lazaret.entrypoints.safekeeping.parking import STEP
from lazaret.entrypoints.safekeeping.restore import TargetInUse, look_into, restore
from lazaret.healing.model import Approval
from lazaret.kernel import audit
from lazaret.kernel.clock import SystemClock
from lazaret.kernel.errors import Conflict, LazaretError
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings, load_settings
from lazaret.migrations.tables import metadata
from lazaret.operations.model import Operation
from lazaret.servers.model import Hold, Server
from lazaret.servers.status import ServerStatus
from lazaret.users.model import Role
from lazaret.users.store import create_token, revoke_token, valid_tokens
from tests.healing_scene import BUSY_MACHINE, OPERATOR, Scene, scene_of
from tests.integration.product.conftest import Shell, start_up
from tests.integration.product.test_retention import add_history
from tests.integration.rows import add_server

PASSPHRASE = "four words nobody guesses"
SECRET = SecretStr(PASSPHRASE)
CHEAP = 10
"""Of scrypt, where no test is about it."""


def settings_of(directory: Path, conninfo: str, **more: str) -> Settings:
    return load_settings({"LAZARET_DATA_DIR": str(directory), "DATABASE_URL": conninfo, **more})


@pytest.fixture
async def installation(conninfo: str, tmp_path: Path) -> AsyncIterator[Office]:
    """One with a key, an SSH key, and a server with its history: an operation under way among it."""
    settings = settings_of(tmp_path / "old", conninfo, TIME4VPS_MANAGED_SERVER_IDS="900001,900002")
    async with open_office(settings, redactor=Redactor()) as office:
        access_key_of(settings)
        async with office.db.transaction() as session:
            await add_history(session, 1, at=office.clock.now() - timedelta(hours=1), ended=True)
            await add_history(session, 2, at=office.clock.now(), ended=False)
            await office.secrets.put(
                session, "server:vps-1", "root_password", SecretStr("planted-Root-1!"), at=office.clock.now()
            )
            await session.execute(text("update operations set lease = 'x', lease_until = now() where id = 2"))
        yield office


@pytest.fixture
async def backup(installation: Office, tmp_path: Path) -> Path:
    path = tmp_path / "lazaret.backup"
    await write_backup(installation, path, SECRET, OPERATOR, cost=CHEAP)
    return path


async def restored_into(settings: Settings, path: Path) -> tuple[str, ...]:
    """What the restore ended."""
    return (await restore(settings, look_into(path, SECRET), OPERATOR, SystemClock())).ended


async def test_a_backup_comes_back_as_it_was(
    installation: Office, backup: Path, empty_conninfo: str, tmp_path: Path
) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == [backup.name], "no draft is left"
    settings = settings_of(tmp_path / "new", empty_conninfo)
    assert await restored_into(settings, backup) == ("operation 2 (provision of vps-2)",)
    for place in ("secret.key", "ssh/access_key"):
        old, new = tmp_path / "old" / place, tmp_path / "new" / place
        assert old.read_bytes() == new.read_bytes()
        assert stat.S_IMODE(new.stat().st_mode) == 0o600
    async with open_office(settings, redactor=Redactor()) as there:
        async with there.db.transaction() as session:
            password = await there.secrets.get(session, "server:vps-1", "root_password")
            assert password is not None and password.get_secret_value() == "planted-Root-1!"
            live = await session.get_one(Operation, 2)
            assert (live.status, live.lease, "not known" in (live.error or "")) == ("cancelled", None, True)
            hold = (await session.scalars(select(Hold))).one()
            assert (hold.server_handle, hold.expires_at, hold.lifted_at) == (None, None, None)
            assert hold.id == STEP + 1, "no number that the old machine may have given away is given again"
        same = {
            table for table in metadata.tables if table not in {*LEFT_OUT, "holds", "operations", "operation_events"}
        }
        for table in sorted(same - {"audit_log"}):
            rows = f"select coalesce(jsonb_agg(t order by t::text), '[]') from {table} t"
            async with there.db.transaction() as new, installation.db.transaction() as old:
                assert await new.scalar(text(rows)) == await old.scalar(text(rows)), table


async def _revoked_since(installation: Office, path: Path) -> int:
    """A backup, and a token that is revoked after it."""
    now = installation.clock.now()
    async with installation.db.transaction() as session:
        leaked, _ = await create_token(session, "ci", Role.ADMIN, OPERATOR, at=now)
        await create_token(session, "old", Role.VIEWER, OPERATOR, at=now, expires_at=now - timedelta(days=1))
        gone, _ = await create_token(session, "gone", Role.VIEWER, OPERATOR, at=now)
        await revoke_token(session, gone.id, OPERATOR, at=now)
    await write_backup(installation, path, SECRET, OPERATOR, cost=CHEAP)
    async with installation.db.transaction() as session:
        await revoke_token(session, leaked.id, OPERATOR, at=now)
    return leaked.id


async def test_tokens_that_are_valid_again_are_named(
    installation: Office, tmp_path: Path, empty_conninfo: str, shell: Shell
) -> None:
    path = tmp_path / "with-tokens.backup"
    leaked = await _revoked_since(installation, path)
    shell.environment |= {"LAZARET_DATA_DIR": str(tmp_path / "new"), "DATABASE_URL": empty_conninfo}
    finished = await shell.run("restore", str(path), "--passphrase-stdin", stdin=PASSPHRASE)
    told, status = finished.out, finished.code
    assert status == 0 and f"{leaked} (ci, admin)" in told, finished
    named = told.partition("are the tokens:")[2].partition("Now:")[0]
    assert "old" not in named and "gone" not in named, "expired, and revoked before"
    assert told.index("lazaret token revoke ID") < told.index("lazaret up"), "before anybody can use it"


async def test_no_token_of_a_backup_is_let_in_where_that_is_asked_for(
    installation: Office, tmp_path: Path, empty_conninfo: str
) -> None:
    path = tmp_path / "with-tokens.backup"
    await _revoked_since(installation, path)
    settings = settings_of(tmp_path / "new", empty_conninfo)
    parked = await restore(settings, look_into(path, SECRET), OPERATOR, SystemClock(), revoke_tokens=True)
    assert parked.tokens == ()
    async with open_office(settings, redactor=Redactor()) as there, there.db.transaction() as session:
        assert await valid_tokens(session, at=there.clock.now()) == []


async def test_every_table_is_kept_or_left_out_for_a_reason(conninfo: str) -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        kept = [table.name for table in await tables_of(connection)]
        rows = await (
            await connection.execute("select tablename from pg_tables where schemaname = 'public'")
        ).fetchall()
        references = await (
            await connection.execute(
                "select conrelid::regclass::text, confrelid::regclass::text from pg_constraint where contype = 'f'"
            )
        ).fetchall()
    assert {name for (name,) in rows} == {*kept, *LEFT_OUT}
    assert set(kept) <= set(metadata.tables), "a library's table: is it true of one moment only?"
    for table, referred in references:
        if table in kept and referred != table:
            assert kept.index(referred) < kept.index(table), f"{table} refers to {referred}"


async def test_no_secret_can_be_read_in_the_file(installation: Office, backup: Path) -> None:
    data = backup.read_bytes()
    async with installation.db.transaction() as session:
        _, token = await create_token(session, "x", Role.ADMIN, OPERATOR, at=installation.clock.now())
    keys = [(installation.settings.lazaret_data_dir / place).read_bytes() for place in ("secret.key", "ssh/access_key")]
    for planted in (
        b"planted-Root-1!",
        token.get_secret_value().encode(),
        b"vps-1",
        b"OPENSSH",
        *keys,
        keys[1][60:120],
    ):
        assert planted not in data
    assert PASSPHRASE.encode() not in data


async def test_what_is_written_meanwhile_is_in_it_whole_or_not_at_all(
    installation: Office, tmp_path: Path, empty_conninfo: str
) -> None:
    """Operations and the servers they refer to are written all the time; each backup fits together."""
    ends = asyncio.Event()

    async def write_on() -> None:
        number = 100
        while not ends.is_set():
            number += 1
            async with installation.db.transaction() as session:
                await add_history(session, number, at=installation.clock.now(), ended=True)

    writing = asyncio.create_task(write_on())
    await asyncio.sleep(0.3)
    path = tmp_path / "busy.backup"
    written = await write_backup(installation, path, SECRET, OPERATOR, cost=CHEAP)
    await asyncio.sleep(0.3)
    ends.set()
    await writing
    counts = written.counts
    assert counts["servers"] == counts["operations"] == counts["incidents"] == counts["evidence"] > 2
    await restored_into(settings_of(tmp_path / "new", empty_conninfo), path)


async def test_an_older_schema_is_brought_up_to_date(installation: Office, empty_conninfo: str, tmp_path: Path) -> None:
    await migrations.upgrade_schema(empty_conninfo, "0006")
    with psycopg.connect(empty_conninfo, autocommit=True) as connection:
        connection.execute(
            "insert into users (telegram_id, is_admin, created_at, last_seen) values (1, true, now(), now())"
        )
    path = tmp_path / "old.backup"
    old = dataclasses.replace(installation, conninfo=empty_conninfo)
    await write_backup(old, path, SECRET, OPERATOR, cost=CHEAP)
    assert look_into(path, SECRET).schema == "0006"
    with psycopg.connect(empty_conninfo, autocommit=True) as connection:
        connection.execute("delete from users")
    await migrations.upgrade_schema(empty_conninfo)  # an installation that was begun, and has nothing in it yet
    await restored_into(settings_of(tmp_path / "new", empty_conninfo), path)
    assert await migrations.is_current(empty_conninfo)
    with psycopg.connect(empty_conninfo) as connection:
        assert connection.execute("select telegram_id from users").fetchall() == [(1,)]


async def test_open_questions_are_closed(installation: Office, tmp_path: Path, empty_conninfo: str) -> None:
    now = installation.clock.now()
    async with installation.db.transaction() as session:
        session.add(
            Approval(
                operation_id=2,
                incident_id=2,
                server_handle="vps-2",
                rung=3,
                remedy="reinstall",
                why="x",
                asked_at=now,
                expires_at=now + timedelta(hours=1),
            )
        )
    path = tmp_path / "asking.backup"
    await write_backup(installation, path, SECRET, OPERATOR, cost=CHEAP)
    settings = settings_of(tmp_path / "new", empty_conninfo)
    await restored_into(settings, path)
    async with open_office(settings, redactor=Redactor()) as there, there.db.transaction() as session:
        row = (await session.scalars(select(Approval))).one()
        assert (row.decision, row.decided_by) == ("expired", "the restore of a backup")


async def occupied_by_a_server(settings: Settings) -> None:
    async with open_office(settings, redactor=Redactor()) as office, office.db.transaction() as session:
        await add_server(session, "vps-9", at=office.clock.now())
    (settings.lazaret_data_dir / "secret.key").unlink()


async def occupied_by_a_key(settings: Settings) -> None:
    settings.lazaret_data_dir.mkdir()
    (settings.lazaret_data_dir / "secret.key").write_text("another")


async def occupied_by_something_else(settings: Settings) -> None:
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("create table orders (id int)")


async def occupied_by_a_process(settings: Settings) -> None:
    assert settings.database_url is not None
    conninfo = settings.database_url.get_secret_value()
    await migrations.upgrade_schema(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(
            "insert into processes (id, parts, host, pid, version, started_at, seen_at)"
            " values ('x', '[]', 'here', 77, '0', now(), now())"
        )


async def occupied_by_a_newer_schema(settings: Settings) -> None:
    assert settings.database_url is not None
    conninfo = settings.database_url.get_secret_value()
    await migrations.upgrade_schema(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '9999'")


@pytest.mark.parametrize(
    ("occupy", "says"),
    [
        (occupied_by_a_server, "a row in servers"),
        (occupied_by_a_key, "another key already: secret.key"),
        (occupied_by_something_else, "it has orders"),
        (occupied_by_a_process, "process 77 on here"),
        (occupied_by_a_newer_schema, "newer schema already"),
    ],
)
async def test_nothing_is_restored_over_anything(
    backup: Path, empty_conninfo: str, tmp_path: Path, occupy: Callable[[Settings], Awaitable[None]], says: str
) -> None:
    settings = settings_of(tmp_path / "new", empty_conninfo)
    await occupy(settings)
    before = everything_in(empty_conninfo), files_in(tmp_path / "new")
    with pytest.raises(TargetInUse, match=says):
        await restored_into(settings, backup)
    assert (everything_in(empty_conninfo), files_in(tmp_path / "new")) == before


async def test_another_configured_key_is_refused(backup: Path, empty_conninfo: str, tmp_path: Path) -> None:
    key = "cGxhbnRlZC1rZXktdGhhdC1pcy0zMi1ieXRlcy1sb24="
    settings = settings_of(tmp_path / "new", empty_conninfo, LAZARET_SECRET_KEY=key)
    with pytest.raises(TargetInUse, match="LAZARET_SECRET_KEY is another key"):
        await restored_into(settings, backup)
    assert everything_in(empty_conninfo) == {}
    held = (tmp_path / "old" / "secret.key").read_text()
    settings = settings_of(tmp_path / "new", empty_conninfo, LAZARET_SECRET_KEY=held)
    await restored_into(settings, backup)
    assert not (tmp_path / "new" / "secret.key").exists(), "it comes from the settings"


async def test_a_restore_that_breaks_off_can_be_done_again(backup: Path, empty_conninfo: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "new", empty_conninfo)
    found = look_into(backup, SECRET)
    wrong = dataclasses.replace(found, counts=dict.fromkeys(found.counts, 99))
    with pytest.raises(LazaretError, match="rows instead of 99"):
        await restore(settings, wrong, OPERATOR, SystemClock())
    assert files_in(tmp_path / "new") == {}, "no key without its database"
    assert not any(rows for table, rows in everything_in(empty_conninfo).items() if table in metadata.tables)
    await restored_into(settings, backup)


async def test_a_backup_with_a_strange_key_or_without_one_is_not_made(installation: Office, tmp_path: Path) -> None:
    key = tmp_path / "old" / "ssh" / "access_key"
    key.rename(tmp_path / "moved")
    with pytest.raises(Conflict, match="SSH key to the servers is not in this data directory"):
        await write_backup(installation, tmp_path / "x", SECRET, OPERATOR, cost=CHEAP)
    (tmp_path / "moved").rename(key)
    (tmp_path / "old" / "secret.key").write_text("cGxhbnRlZC1rZXktdGhhdC1pcy0zMi1ieXRlcy1sb24=")
    with pytest.raises(Conflict, match="stored under another key"):
        await write_backup(installation, tmp_path / "x", SECRET, OPERATOR, cost=CHEAP)
    assert not (tmp_path / "x").exists()


def everything_in(conninfo: str) -> dict[str, int]:
    """The number of rows by table."""
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        return {
            table: connection.execute(f'select count(*) from "{table}"').fetchone()[0]  # type: ignore[index, arg-type]
            for (table,) in tables
        }


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def cut_short(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-20])
    return "damaged"


def altered(path: Path) -> str:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return "damaged"


def of_a_newer_format(path: Path) -> str:
    data = bytearray(path.read_bytes())
    data[16] = 9
    path.write_bytes(data)
    return "has the format 9"


def not_a_backup(path: Path) -> str:
    path.write_bytes(b"-- PostgreSQL database dump")
    return "not a backup of Lazaret"


def not_there(path: Path) -> str:
    path.unlink()
    return "No such file"


@pytest.mark.parametrize("spoil", [cut_short, altered, of_a_newer_format, not_a_backup, not_there])
async def test_a_spoilt_file_changes_nothing(shell: Shell, backup: Path, spoil: Callable[[Path], str]) -> None:
    says = spoil(backup)
    finished = await shell.run("restore", str(backup), "--passphrase-stdin", stdin=PASSPHRASE)
    assert (finished.code, says in finished.err, "hint: " in finished.err) == (2, True, True), finished
    assert not (shell.directory / "data").exists()


async def test_a_backup_of_a_newer_schema_changes_nothing(shell: Shell, installation: Office, tmp_path: Path) -> None:
    with psycopg.connect(installation.conninfo, autocommit=True) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    path = tmp_path / "newer.backup"
    await write_backup(installation, path, SECRET, OPERATOR, cost=CHEAP)
    finished = await shell.run("restore", str(path), "--passphrase-stdin", stdin=PASSPHRASE)
    assert (finished.code, "with the schema 9999" in finished.err) == (2, True), finished
    assert not (shell.directory / "data").exists()
    shell.environment["DATABASE_URL"] = installation.conninfo
    refused = await shell.run("servers")
    assert (refused.code, "newer than this one" in refused.err) == (1, True), refused


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (("restore", "FILE", "--passphrase-stdin"), "not this one at all", 2, "does not open this file"),
        (("restore", "FILE", "--passphrase-stdin"), "", 2, "passphrase is empty"),
        (("restore", "FILE"), "", 2, "There is no passphrase"),
        (("restore", "FILE", "--passphrase-file", "/nowhere"), "", 2, "/nowhere cannot be read"),
        (("restore", "FILE", "--passphrase-stdin", "--passphrase-file", "/nowhere"), "", 2, "once"),
        (("backup", "there", "--passphrase-stdin"), "short", 2, "fewer than 12"),
        (("backup", "FILE", "--passphrase-stdin"), PASSPHRASE, 1, "exists"),
        (("backup", "no/such/place", "--passphrase-stdin"), PASSPHRASE, 2, "no directory no/such"),
        (("backup", "/dev/full", "--replace", "--passphrase-stdin"), PASSPHRASE, 2, "is not a file"),
    ],
)
async def test_wrong_use(
    shell: Shell, backup: Path, arguments: tuple[str, ...], stdin: str, code: int, says: str
) -> None:
    before = backup.read_bytes()
    finished = await shell.run(*(str(backup) if one == "FILE" else one for one in arguments), stdin=stdin)
    assert (finished.code, says in finished.err, "hint: " in finished.err) == (code, True, True), finished
    assert backup.read_bytes() == before
    if code == 2:
        assert not (shell.directory / "data").exists()


async def test_the_doctor_misses_a_backup(installation: Office) -> None:
    patient = Patient(installation.settings, opened=installation.db)
    found = [await check_backup("backup", patient)]
    for age_days in (9, 0):
        async with installation.db.transaction() as session:
            at = installation.clock.now() - timedelta(days=age_days)
            audit.record(session, OPERATOR, "backup.write", "backup", at=at)
        found.append(await check_backup("backup", patient))
    async with installation.db.transaction() as session:
        at = installation.clock.now()
        audit.record(session, OPERATOR, "backup.restore", "backup", at=at, origin="made yesterday on old")
    found.append(await check_backup("backup", patient))
    assert [(one.state, one.what[:21]) for one in found] == [
        ("missing", "none was ever made"),
        ("missing", "the last one was made"),
        ("ok", "the last one was made"),
        ("missing", "none was made here si"),
    ]
    assert found[-1].what.endswith("when this was restored from one made yesterday on old")


async def test_a_token_restores_nothing(shell: Shell, backup: Path) -> None:
    shell.environment["LAZARET_TOKEN"] = "lzr_x"
    finished = await shell.run("restore", str(backup), "--passphrase-stdin", stdin=PASSPHRASE)
    assert (finished.code, "Unset LAZARET_TOKEN" in finished.err) == (1, True), finished


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_new_machine_watches_the_same_fleet_and_touches_nothing(shell: Shell) -> None:
    """The whole way, with the embedded database on both sides: the old machine is lost in the middle of a recovery."""
    async with scene_of(3) as scene:
        (shell.directory / "passphrase").write_text(PASSPHRASE + "\n")
        lost, other = scene.handles()[:2]
        async with scene.office.db.transaction() as session:
            _, token = await create_token(session, "ci", Role.OPERATOR, OPERATOR, at=scene.office.clock.now())
        await scene.end("worker")
        await scene.lab.cloud.power_off(int(lost.removeprefix("vps-")))
        await scene.until_status(lost, ServerStatus.ERROR)
        under_way = (await scene.operations(lost))[-1]
        assert under_way.status == "queued"
        await back_up_by_command(scene, shell)
        await scene.end()
        await scene.lab.cloud.power_on(int(lost.removeprefix("vps-")))
        calls = calls_in(scene)

        shell.environment |= scene.environment | {
            "LAZARET_DATA_DIR": str(shell.directory / "new"),
            "LAZARET_PORT": "0",
            "LAZARET_STORM_QUIET": "7",
        }
        whole = await shell.run("restore", "lazaret.backup", "--check", "--passphrase-file", "passphrase")
        assert (whole.code, "is whole" in whole.out, "3 servers" in whole.out) == (0, True, True), whole
        assert not (shell.directory / "new").exists()
        restored = await shell.run("restore", "lazaret.backup", "--passphrase-file", "passphrase")
        assert restored.code == 0, restored
        for said in (
            f"operation {under_way.id} (recover of {lost})",
            "The whole fleet is frozen",
            "the old machine is off",
            "LAZARET_STORM_QUIET=6",
            "lazaret unfreeze",
        ):
            assert said in restored.out, restored
        assert "TIME4VPS_PASSWORD" not in restored.out, "what is the same here is not told"
        again = await shell.run("restore", "lazaret.backup", "--passphrase-file", "passphrase")
        assert (again.code, "another" in again.err or "in use" in again.err) == (1, True), again

        up = await start_up(shell)
        up.token = token.get_secret_value()
        try:
            async with up.client() as client:

                async def get(path: str) -> dict[str, object]:
                    answer = await client.get(path)
                    assert answer.status_code == 200, answer.text
                    return answer.json()  # type: ignore[no-any-return]

                async def well() -> list[str]:
                    seen = [await get(f"/api/servers/{handle}/health") for handle in scene.handles()]
                    return [str(phase) for one in seen for phase in phases_in(one)]

                await until(lambda: is_all(well, "well", 3), timeout_s=60)
                servers = await get("/api/servers/")
                assert {row["status"] for row in servers["items"]} == {"ready"}  # type: ignore[attr-defined]
                operations = (await get("/api/operations/?limit=500"))["total"]

                await scene.lab.cloud.power_off(int(other.removeprefix("vps-")))
                await until(lambda: says_in(shell, other, "no recovery begins"), timeout_s=60)
                await asyncio.sleep(6)  # a pursuit or two, and a look at everything that is due
                assert calls_in(scene) == calls, "nothing was done to any machine"
                assert (await get("/api/operations/?limit=500"))["total"] == operations, "nothing was begun"
                lifted = await shell.run("unfreeze")
                assert (lifted.code, "Lifted" in lifted.out) == (0, True)
                await until(lambda: says_in(shell, other, "it is watched; nothing is to be done"), timeout_s=120)
                assert "reboot" in [action for action, _ in calls_in(scene)[len(calls) :]]
        finally:
            await up.end()
        assert "Traceback" not in up.log.read_text()


async def back_up_by_command(scene: Scene, shell: Shell) -> None:
    old = Shell(shell.directory, shell.loaded, scene.environment)
    made = await old.run("backup", "lazaret.backup", "--passphrase-file", "passphrase")
    assert (made.code, "3 servers" in made.out) == (0, True), made
    assert stat.S_IMODE((shell.directory / "lazaret.backup").stat().st_mode) == 0o600
    async with scene.office.db.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Server)) == 3
    entries = json.loads((await old.run("audit", "backup.write", "--json")).out)
    assert [one["action"] for one in entries] == ["backup.write"]


def calls_in(scene: Scene) -> list[tuple[str, int | None]]:
    """What any program asked the provider to change."""
    return [(one.action, one.server_id) for one in scene.lab.journal.entries(kind="call")]


def phases_in(health: object) -> list[object]:
    rows = health.get("verdicts", []) if isinstance(health, dict) else health
    assert isinstance(rows, list)
    return [row["phase"] for row in rows]


async def is_all(read: Callable[[], Awaitable[list[str]]], wanted: str, count: int) -> bool:
    found = await read()
    return len(found) == count and set(found) == {wanted}


async def says_in(shell: Shell, handle: str, words: str) -> bool:
    return words in (await shell.run("why", handle)).out


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s * BUSY_MACHINE):
        while not await condition():
            await asyncio.sleep(0.3)
