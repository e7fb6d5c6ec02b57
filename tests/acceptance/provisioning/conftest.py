"""Lazaret and a lab of real hosts in one process: one host that it may change, one ghost."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.worker import run_worker
from lazaret.kernel import audit
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import Settings, load_settings
from lazaret.lab.instance import Lab
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.operations.store import list_operations
from lazaret.servers.access import CommandResult, KeyLogin, SshEndpoint
from lazaret.servers.model import Server
from lazaret.servers.store import get_server

MISSING = missing_for_real_hosts()
OPERATOR = audit.Actor("tester", audit.Channel.CLI)


@dataclass(slots=True)
class Scene:
    """The managed host is `vps-900001`; `vps-900002` is a ghost."""

    lab: Lab
    office: Office
    settings: Settings
    handle: str = "vps-900001"
    ghost: str = "vps-900002"

    @property
    def key(self) -> Path:
        return self.settings.lazaret_data_dir / "ssh" / "access_key"

    async def server(self, handle: str = "") -> Server:
        async with self.office.db.transaction() as session:
            return await get_server(session, handle or self.handle)

    async def until_ended(self, operation_id: int = 0, *, timeout_s: float = 400) -> Operation:
        """The server's newest operation, or a given one, once it has ended."""
        async with asyncio.timeout(timeout_s):
            while True:
                async with self.office.db.transaction() as session:
                    rows, _ = await list_operations(session, handle=self.handle, limit=1)
                if rows and rows[0].id >= operation_id and OperationStatus(rows[0].status) not in LIVE:
                    return rows[0]
                await asyncio.sleep(0.2)

    async def on_host(self, command: str, *, stdin: str = "", timeout_s: float = 60) -> CommandResult:
        """Run a command on the managed host, over a new connection, by Lazaret's key."""
        server = await self.server()
        endpoint = SshEndpoint(server.public_ip or "", server.ssh_port)
        connection = AsyncSshAccess().connect(endpoint, host_keys=server.host_keys, login=KeyLogin(self.key))
        async with connection as session:
            return await session.run(command, stdin=stdin, timeout_s=timeout_s)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene() -> AsyncIterator[Scene]:
    directory = Path(tempfile.mkdtemp(prefix="lazaret-acceptance-"))
    directory.chmod(0o755)
    async with Lab(name=f"a{os.getpid()}", hosts=2, simulated=False, state_dir=directory / "lab") as lab:
        environment = lab.environment() | {
            "TIME4VPS_MANAGED_SERVER_IDS": "900001",
            "LAZARET_DATA_DIR": str(directory),
            "SERVER_SYNC_INTERVAL": "1",
        }
        settings = load_settings(environment)
        async with open_office(settings, redactor=Redactor()) as office:
            worker = asyncio.create_task(run_worker(office))
            try:
                yield Scene(lab, office, settings)
            finally:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)
    shutil.rmtree(directory, ignore_errors=True)
