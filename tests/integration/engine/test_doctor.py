"""What `lazaret doctor` finds when something is broken for real, and the cure that it names."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import asyncssh
import psycopg
import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from lazaret import migrations
from lazaret.entrypoints.doctor.examination import CHECKS, examine
from lazaret.entrypoints.doctor.finding import Finding, Patient
from lazaret.entrypoints.office import Office
from lazaret.kernel.clock import SystemClock
from lazaret.kernel.database import Database
from lazaret.kernel.processes import Identity, beat
from lazaret.kernel.settings import load_settings
from lazaret.lab.instance import Lab
from lazaret.lab.switches import AddressNotAllowed, Switch, Throttle, WrongCredentials
from lazaret.lab.telegram.server import TelegramServer
from lazaret.users.store import name_first_admins
from tests.integration.conftest import run_sql
from tests.integration.rows import add_server

QUICK = [one for one in CHECKS if one[0] != "ansible"]
"""Ansible takes seconds to say its version; see tests/unit."""
Doctor = Callable[..., Awaitable[dict[str, Finding]]]


@pytest.fixture
def doctor(conninfo: str, tmp_path: Path) -> Doctor:
    """Examines an installation on a fresh database with the present schema; settings and clock may be given."""

    async def look(*, clock: SystemClock | None = None, **settings: str) -> dict[str, Finding]:
        given = {"DATABASE_URL": conninfo, "LAZARET_DATA_DIR": str(tmp_path)} | settings
        patient = Patient(load_settings(given), clock=clock or SystemClock())
        return {finding.check: finding for finding in await examine(patient, QUICK)}

    return look


def says(finding: Finding, state: str, what: str, cure: str) -> None:
    assert (finding.state, what in finding.what, cure in finding.cure) == (state, True, True), finding


async def test_a_fresh_installation_lacks_things_and_nothing_is_broken(doctor: Doctor) -> None:
    found = await doctor()
    assert not [one for one in found.values() if one.state in {"broken", "unknown"}], found
    assert {name for name, one in found.items() if one.state == "missing"} == {
        "master key",
        "access key",
        "provider",
        "telegram",
        "processes",
        "backup",
    }
    assert all(one.cure for one in found.values() if one.state != "ok")


async def test_where_nothing_ever_was_it_makes_nothing(tmp_path: Path) -> None:
    """A misspelt directory must not become an installation by being looked at."""
    there = tmp_path / "mis" / "spelt"
    patient = Patient(load_settings({"LAZARET_DATA_DIR": str(there), "TELEGRAM_ADMIN_IDS": ""}))
    found = {finding.check: finding for finding in await examine(patient, QUICK)}
    assert not list(tmp_path.iterdir())
    assert not [one for one in found.values() if one.state == "broken"], found
    says(found["disk"], "missing", f"{there} is not there yet", "lazaret up")
    says(found["database"], "missing", "embedded: none yet", "lazaret up")
    says(found["schema"], "missing", "no tables yet", "lazaret up")
    says(found["master key"], "missing", "none yet", "lazaret up")
    says(found["clocks"], "unknown", "there is no database yet", "lazaret up")
    says(found["processes"], "missing", "none runs", "lazaret up")
    says(found["backup"], "missing", "none was ever made", "lazaret backup FILE")


# --- the database


async def test_an_encoding_that_cannot_hold_every_text(doctor: Doctor, postgres: str) -> None:
    name = f"ascii_{os.getpid()}"
    run_sql(postgres, f"create database {name} encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'")
    found = await doctor(DATABASE_URL=postgres.replace("/postgres?", f"/{name}?"))
    says(found["database"], "broken", "SQL_ASCII", "createdb --template template0 --encoding UTF8")
    says(found["schema"], "unknown", "the database does not answer", "Mend the database first.")
    says(found["processes"], "unknown", "the database does not answer", "Mend the database first.")
    run_sql(postgres, f"drop database {name}")


async def test_a_database_that_is_not_there(doctor: Doctor, postgres: str) -> None:
    found = await doctor(DATABASE_URL=postgres.replace("/postgres?", "/nowhere?"))
    says(found["database"], "broken", "no database or user of that name", "createdb")


async def test_a_server_that_does_not_run(doctor: Doctor) -> None:
    found = await doctor(DATABASE_URL="postgresql://me:hidden-word@127.0.0.1:9/lazaret")
    says(found["database"], "broken", "no answer from 127.0.0.1 port 9", "Start PostgreSQL")
    assert "hidden-word" not in str(found)


async def test_a_wrong_password(doctor: Doctor, postgres: str) -> None:
    run_sql(postgres, "create role locked_out login password 'right'")
    with psycopg.connect(postgres) as connection:
        hba = Path(str(connection.execute("show hba_file").fetchone()[0]))  # type: ignore[index]
    before = hba.read_text()
    hba.write_text(f"local all locked_out scram-sha-256\n{before}")
    run_sql(postgres, "select pg_reload_conf()")
    found = await doctor(DATABASE_URL=postgres.replace("//postgres:@", "//locked_out:wrong-word@"))
    hba.write_text(before)
    run_sql(postgres, "select pg_reload_conf()")
    run_sql(postgres, "drop role locked_out")
    says(found["database"], "broken", "refuses the user locked_out", "ALTER ROLE locked_out PASSWORD")
    assert "wrong-word" not in str(found)


async def test_tables_of_another_version(doctor: Doctor, conninfo: str, empty_conninfo: str) -> None:
    found = await doctor(DATABASE_URL=empty_conninfo)
    says(found["schema"], "missing", "no tables yet", "lazaret up")
    says(found["processes"], "missing", "none runs", "lazaret up")
    says(found["backup"], "missing", "none was ever made", "lazaret backup FILE")
    says(found["clocks"], "ok", "from the database's", "")
    await migrations.upgrade_schema(empty_conninfo, "0006")
    found = await doctor(DATABASE_URL=empty_conninfo)
    says(found["schema"], "broken", "of an older version", "Start this version once")
    says(found["processes"], "unknown", "not there yet", "Mend the schema first.")
    run_sql(conninfo, "update alembic_version set version_num = '9999'")
    says((await doctor())["schema"], "broken", "of a version newer than", "Install that newer version here too")


# --- keys


async def test_a_master_key_that_is_not_the_one(doctor: Doctor, office: Office, tmp_path: Path) -> None:
    async with office.db.transaction() as session:
        for kind in ("root_password", "other"):
            await office.secrets.put(session, "server:vps-1", kind, SecretStr("planted"), at=office.clock.now())
    says((await doctor())["master key"], "broken", "is gone, and 2 secrets need it", "secret.key in")
    wrong = Fernet.generate_key().decode()
    found = await doctor(LAZARET_SECRET_KEY=wrong)
    says(found["master key"], "broken", "2 of 2 stored secrets cannot be read", "Put back the key")
    assert wrong not in str(found)
    says((await doctor(LAZARET_SECRET_KEY="short"))["master key"], "broken", "LAZARET_SECRET_KEY holds no key", "Put")
    path = tmp_path / "secret.key"
    path.write_text(wrong)
    path.chmod(0o644)
    says((await doctor())["master key"], "broken", f"others may read {path}", f"chmod 600 {path}")


async def test_an_access_key_that_is_gone_or_open_to_all(doctor: Doctor, db: Database, tmp_path: Path) -> None:
    async with db.transaction() as session:
        await add_server(session, "vps-1", at=SystemClock().now())
    path = tmp_path / "ssh" / "access_key"
    says((await doctor())["access key"], "broken", f"{path} is gone, and 1 servers", "lazaret provision HANDLE")
    assert not path.exists(), "the doctor makes no key"
    path.parent.mkdir()
    path.write_text("no key at all")
    path.chmod(0o600)
    says((await doctor())["access key"], "broken", "is not an OpenSSH private key", "ssh-keygen -t ed25519")
    path.chmod(0o640)
    path.write_bytes(a_key())
    says((await doctor())["access key"], "broken", f"others may read {path}", f"chmod 600 {path}")
    path.chmod(0o600)
    finding = (await doctor())["access key"]
    says(finding, "ok", "ssh-ed25519 ", "")
    assert asyncssh.import_public_key(finding.what), "all of it, to be pasted"


def a_key() -> bytes:
    from lazaret.adapters.ssh.access_key import _new_key

    return _new_key()


# --- the provider


@dataclass
class Account:
    lab: Lab
    doctor: Doctor

    async def finding(self, **settings: str) -> Finding:
        return (await self.doctor(**self.lab.environment(), **settings))["provider"]


@pytest.fixture
async def account(doctor: Doctor) -> AsyncIterator[Account]:
    async with Lab(name=f"d{os.getpid()}", hosts=1, time_scale=0.002) as lab:
        yield Account(lab, doctor)


async def test_an_account_in_order(account: Account) -> None:
    says(await account.finding(), "ok", "1 servers, 1 managed", "")


@pytest.mark.parametrize(
    ("switch", "state", "what", "cure"),
    [
        (WrongCredentials(), "broken", "refuses the login", "Check TIME4VPS_LOGIN and TIME4VPS_PASSWORD"),
        (AddressNotAllowed(), "broken", "this machine's address", "allowlist in the client area"),
        (Throttle(wait_s=24), "unknown", "a pause of 24 s", "Nothing is wrong: ask again later"),
    ],
)
async def test_three_meanings_of_401(account: Account, switch: Switch, state: str, what: str, cure: str) -> None:
    account.lab.switches.set(switch)
    begun = account.lab.clock.monotonic()
    says(await account.finding(), state, what, cure)
    assert account.lab.clock.monotonic() - begun < 20, "the doctor waits for no throttle to end"


async def test_a_server_that_is_not_in_the_account(doctor: Doctor, account: Account) -> None:
    settings = account.lab.environment() | {"TIME4VPS_MANAGED_SERVER_IDS": "900001,77"}
    says((await doctor(**settings))["provider"], "broken", "not in the account: 77", "the account has 900001")
    settings["TIME4VPS_MANAGED_SERVER_IDS"] = ""
    says((await doctor(**settings))["provider"], "missing", "1 servers, none managed", "TIME4VPS_MANAGED_SERVER_IDS")


async def test_a_provider_that_cannot_be_reached(account: Account) -> None:
    settings = account.lab.environment() | {"TIME4VPS_BASE_URL": "http://127.0.0.1:9/api"}
    says((await account.doctor(**settings))["provider"], "broken", "cannot be reached", "TIME4VPS_BASE_URL")


# --- Telegram


async def test_telegram(doctor: Doctor, db: Database) -> None:
    async with TelegramServer().running() as server:
        settings = server.environment()
        says((await doctor(**settings))["telegram"], "missing", "nobody to tell", "TELEGRAM_ADMIN_IDS")
        async with db.transaction() as session:
            await name_first_admins(session, frozenset({501}), at=SystemClock().now())
        says((await doctor(**settings))["telegram"], "ok", "@", "")
        wrong = settings | {"TELEGRAM_BOT_TOKEN": "123456:a-wrong-token"}
        found = await doctor(**wrong)
        says(found["telegram"], "broken", "does not accept the bot's token", "@BotFather")
        assert "a-wrong-token" not in str(found)
        server.faults.is_down = True
        says((await doctor(**settings))["telegram"], "broken", "does not answer", "TELEGRAM_API_BASE_URL")
    found = await doctor(**settings)
    says(found["telegram"], "broken", "does not answer", "Check network, proxy and TELEGRAM_API_BASE_URL")
    assert settings["TELEGRAM_BOT_TOKEN"] not in str(found)


# --- clocks and processes


class ClockAhead(SystemClock):
    """The clock of a machine that nobody sets."""

    def now(self):  # type: ignore[no-untyped-def]
        return super().now() + timedelta(hours=1)


async def test_a_clock_that_is_wrong(doctor: Doctor, account: Account) -> None:
    found = (await doctor(clock=ClockAhead(), **account.lab.environment()))["clocks"]
    says(found, "broken", "from the database's and 36", "timedatectl set-ntp true")
    says((await doctor(**account.lab.environment()))["clocks"], "ok", "from the provider's", "")


async def test_processes(doctor: Doctor, db: Database) -> None:
    now = SystemClock().now()
    me = Identity.of_this_process(["api", "worker", "monitor"], at=now)
    async with db.transaction() as session:
        await beat(session, me, [], at=now)
    says((await doctor())["processes"], "ok", "up", "")
    async with db.transaction() as session:
        await beat(session, replace(me, id="other", parts=("worker",)), [], at=now - timedelta(minutes=5))
    says((await doctor())["processes"], "broken", "not heard of any more: worker", "systemctl start lazaret")
