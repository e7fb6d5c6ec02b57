"""The inventory of a hosts file: what it says is taken over, what is wrong with it moves nobody."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.adapters.static import HostsFile, StaticProvider
from lazaret.entrypoints.office import Office
from lazaret.entrypoints.workshop import _inventory as inventory_of
from lazaret.kernel.audit import AuditEntry
from lazaret.kernel.clock import ManualClock
from lazaret.kernel.database import Database
from lazaret.operations.intents import Intents
from lazaret.operations.queue import Queue
from lazaret.servers.inventory import Inventory
from lazaret.servers.model import Presence, Server, SyncState
from lazaret.servers.permissions import Permissions
from lazaret.servers.status import ServerStatus
from lazaret.servers.sync_plan import VANISHED
from tests.fakes.machine import Machine
from tests.integration.engine.conftest import add_server

START = datetime(2026, 3, 4, tzinfo=UTC)
KEY, OTHER_KEY = (
    f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8qBwvRrRrG9vZKkzv0mYQWqvYbQ6cYp7cYwW0kUd1{one}" for one in "HI"
)


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "name": f"web-{number}", "address": f"203.0.113.{number}", "managed": True, **fields}


@dataclass
class Rig:
    """An inventory over a file."""

    db: Database
    clock: ManualClock
    path: Path
    inventory: Inventory
    admitted: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    async def sync(self, *rows: dict[str, Any], text: str = "") -> dict[str, Server]:
        """Write the file, read it a minute later; returns the servers by handle."""
        self.path.write_text(text or yaml.safe_dump({"hosts": list(rows)}))
        return await self.again()

    async def again(self) -> dict[str, Server]:
        self.clock.advance(60)
        await self.inventory.sync()
        async with self.db.transaction() as session:
            found = list(await session.scalars(select(Server).where(Server.provider == "static")))
        return {server.handle: server for server in found}

    async def state(self) -> SyncState:
        async with self.db.transaction() as session:
            return await session.get_one(SyncState, "static")

    async def change(self, handle: str, **columns: Any) -> None:
        async with self.db.transaction() as session:
            server = await session.get_one(Server, handle)
            for name, value in columns.items():
                setattr(server, name, value)


@pytest.fixture
async def rig(db: Database, manual_clock: ManualClock, tmp_path: Path) -> AsyncIterator[Rig]:
    path = tmp_path / "hosts.yml"
    admitted: list[str] = []
    replaced: list[str] = []

    async def on_admitted(_: AsyncSession, server: Server, __: datetime) -> None:
        admitted.append(server.handle)

    async def on_replaced(_: AsyncSession, server: Server, __: datetime) -> None:
        replaced.append(server.handle)

    file = HostsFile(path)

    async def has_services(_: AsyncSession, handle: str) -> bool:
        return handle == "host-1"

    inventory = Inventory(
        db,
        StaticProvider(file),
        manual_clock,
        permissions=Permissions({"static": file.managed_ids}),
        ssh_port=22,
        has_services=has_services,
        on_admitted=on_admitted,
        on_rebuild_due=on_admitted,
        on_replaced=on_replaced,
    )
    yield Rig(db, manual_clock, path, inventory, admitted, replaced)


def facts(servers: dict[str, Server]) -> dict[str, tuple[str, bool, str]]:
    return {handle: (one.status, one.is_managed, one.presence) for handle, one in servers.items()}


async def test_listed_hosts_come_into_care_or_become_ghosts(rig: Rig) -> None:
    found = await rig.sync(row(1, port=2222, label="first"), row(2, managed=False), row(3, host_keys=[KEY]))
    assert rig.admitted == ["host-1", "host-3"]
    assert facts(found) == {
        "host-1": ("pending_setup", True, "known"),
        "host-2": ("reserved", False, "known"),
        "host-3": ("pending_setup", True, "known"),
    }
    first, third = found["host-1"], found["host-3"]
    assert (first.host, first.label, first.public_ip, first.ssh_port) == ("web-1", "first", "203.0.113.1", 2222)
    assert (first.host_keys, first.host_key_epoch) == ([], 0)
    assert (third.host_keys, third.host_key_epoch) == ([KEY], 1)
    assert first.capabilities == []


async def test_who_is_listed_again_is_in_use_when_services_run_there(rig: Rig) -> None:
    await rig.sync(row(1), row(2))
    for handle in ("host-1", "host-2"):
        await rig.change(
            handle, status=ServerStatus.ERROR.value, status_reason=VANISHED, presence=Presence.ABSENT.value
        )
    found = await rig.again()
    assert {handle: one.status for handle, one in found.items()} == {"host-1": "in_use", "host-2": "ready"}


async def test_a_change_of_the_file_is_taken_over_at_the_next_sync(rig: Rig) -> None:
    await rig.sync(row(1), row(2))
    await rig.change("host-1", status=ServerStatus.READY.value)
    found = await rig.sync(row(1, port=2200, name="www", label="new", address="203.0.113.77"), row(2, managed=False))
    first = found["host-1"]
    assert (first.host, first.label, first.public_ip, first.ssh_port) == ("www", "new", "203.0.113.77", 2200)
    assert facts(found)["host-1"] == ("ready", True, "known")
    assert facts(found)["host-2"] == ("reserved", False, "known"), "let go at once"
    found = await rig.sync(row(1, port=2200), row(2))
    assert facts(found)["host-2"] == ("pending_setup", True, "known")
    assert rig.admitted == ["host-1", "host-2", "host-2"]


@pytest.mark.parametrize("broken", ["hosts: [", "", " ", "hosts: []", "hosts: [{id: 1}]", "servers: []"])
async def test_a_file_that_cannot_be_understood_moves_nobody(rig: Rig, broken: str) -> None:
    await rig.sync(row(1), row(2), row(3))
    await rig.change("host-1", status=ServerStatus.IN_USE.value)
    before = facts(await rig.again())
    for _ in range(10):
        after = await rig.sync(text=broken or "\n")
    assert {handle: one[:2] for handle, one in facts(after).items()} == {h: one[:2] for h, one in before.items()}
    assert Presence.ABSENT not in {one.presence for one in after.values()}
    state = await rig.state()
    assert state.error and state.hint and state.failures == 10
    rig.path.unlink()
    assert {handle: one[:2] for handle, one in facts(await rig.again()).items()} == {
        handle: one[:2] for handle, one in before.items()
    }
    assert facts(await rig.sync(row(1), row(2), row(3))) == before
    assert (await rig.state()).error is None


async def test_who_leaves_the_file_is_let_go_when_absent_and_taken_back_when_named_again(rig: Rig) -> None:
    everybody = [row(number) for number in range(1, 5)]
    await rig.sync(*everybody)
    await rig.change("host-4", status=ServerStatus.READY.value)
    missing = await rig.sync(*everybody[:3])
    assert facts(missing)["host-4"] == ("ready", True, "unknown")
    assert facts(await rig.sync(*everybody))["host-4"] == ("ready", True, "known"), "a slip of a minute leaves no trace"
    await rig.sync(*everybody[:3])
    await rig.again()
    gone = await rig.again()
    assert facts(gone)["host-4"] == ("reserved", False, "absent")
    async with rig.db.transaction() as session:
        assert (await session.execute(select(Server.status).where(Server.status == "error"))).all() == []
    back = await rig.sync(*everybody)
    assert facts(back)["host-4"] == ("pending_setup", True, "known")


async def test_half_a_file_is_not_believed(rig: Rig) -> None:
    everybody = [row(number) for number in range(1, 9)]
    before = facts(await rig.sync(*everybody))
    after = await rig.sync(*everybody[:3])
    await rig.again()
    await rig.again()
    assert {handle: one[:2] for handle, one in facts(after).items()} == {h: one[:2] for h, one in before.items()}
    assert "missing from the list at once" in ((await rig.state()).error or "")


async def test_pins_of_the_file_and_the_operators_word_that_a_machine_was_replaced(rig: Rig) -> None:
    await rig.sync(row(1))
    trusted = {"host_keys": [KEY, "ssh-rsa AAAA"], "host_key_epoch": 1, "host_key_opened_by": "first contact"}
    await rig.change("host-1", status="error", provisioned_at=rig.clock.now(), baseline_version="v1", **trusted)
    same = (await rig.sync(row(1)))["host-1"]
    assert (len(same.host_keys), same.host_key_epoch) == (2, 1), "naming none changes nothing"
    narrowed = (await rig.sync(row(1, host_keys=[KEY])))["host-1"]
    assert (narrowed.host_keys, narrowed.host_key_epoch) == ([KEY], 1)
    assert narrowed.provisioned_at is not None
    assert rig.replaced == []
    replaced = (await rig.sync(row(1, host_keys=[OTHER_KEY])))["host-1"]
    assert (replaced.host_keys, replaced.host_key_epoch) == ([OTHER_KEY], 2)
    assert (replaced.provisioned_at, replaced.baseline_version, replaced.status) == (None, None, "error")
    assert (await rig.again())["host-1"].host_key_epoch == 2
    assert rig.replaced == ["host-1"], "once"


async def test_a_password_of_the_machine_that_was_replaced_is_forgotten(office: Office, tmp_path: Path) -> None:
    """A secret never goes to a machine with another key: as a worker is wired, with what it stores."""
    path = tmp_path / "hosts.yml"
    file = HostsFile(path)
    desk = replace(office.desk, intents=replace_permissions(office, file))
    inventory = inventory_of(replace(office, desk=desk), StaticProvider(file))

    async def sync(*keys: str) -> SecretStr | None:
        path.write_text(yaml.safe_dump({"hosts": [row(1, host_keys=list(keys))]}))
        await inventory.sync()
        async with office.db.transaction() as session:
            return await office.secrets.get(session, "server:host-1", "root_password")

    assert await sync(KEY) is None
    async with office.db.transaction() as session:
        await office.secrets.put(session, "server:host-1", "root_password", SecretStr("old word"), at=START)
    assert await sync(KEY, OTHER_KEY) == SecretStr("old word"), "the same machine, one key more"
    assert await sync(KEY) == SecretStr("old word")
    assert await sync(OTHER_KEY) is None, "another machine"
    async with office.db.transaction() as session:
        entry = await session.scalar(select(AuditEntry).where(AuditEntry.action == "secret.forget"))
    assert entry is not None
    assert (entry.subject, entry.details["why"]) == ("server:host-1", "the operator's list names another machine")


def replace_permissions(office: Office, file: HostsFile) -> Intents:
    return Intents(Queue(office.conninfo), permissions=Permissions({"static": file.managed_ids}), max_attempts=3)


async def test_the_same_id_and_the_same_machine_at_another_provider(rig: Rig) -> None:
    """An id is the provider's own; a machine is managed by way of one of them only."""
    await add_server(rig.db, Machine(1, "203.0.113.99"), rig.clock)
    await add_server(rig.db, Machine(2, "203.0.113.2"), rig.clock)
    found = await rig.sync(row(1), row(2))
    assert facts(found)["host-1"] == ("pending_setup", True, "known"), "beside vps-1"
    assert facts(found)["host-2"] == ("reserved", False, "known")
    assert "vps-2" in found["host-2"].status_reason
    await rig.change("vps-2", is_managed=False)
    assert facts(await rig.again())["host-2"] == ("pending_setup", True, "known")
