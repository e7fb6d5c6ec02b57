"""`lazaret demo`: a cloud on this machine and Lazaret on it, shown live; everything is ended and removed afterwards."""

import asyncio
import logging
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lazaret.entrypoints.bot.process import run_bot
from lazaret.entrypoints.demo_rescue import rescue
from lazaret.entrypoints.monitor import run_monitor
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.up import ending_by_signal, listen_on, serve
from lazaret.entrypoints.worker import run_worker
from lazaret.kernel import audit
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.loops import end_tasks
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings
from lazaret.lab.instance import Lab
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.lab.telegram.server import TelegramServer
from lazaret.operations.model import OperationEvent
from lazaret.operations.store import events_after
from lazaret.provisioning.graph import STEPS
from lazaret.servers.model import Server
from lazaret.servers.status import ServerStatus
from lazaret.servers.store import list_servers
from lazaret.users.model import Role
from lazaret.users.sessions import create_login_link
from lazaret.users.store import create_token

LOOK_S = 0.2
YOU = 501
"""Number of the one person who has a phone in the demo."""
PATIENCE_S = 900.0
"""With --once: after that the demo has failed."""
BRISK = {
    "HEARTBEAT_INTERVAL": "2",
    "HEALTH_CHECK_INTERVAL": "10",
    "LAZARET_KNOCK_INTERVAL": "5",
    "LAZARET_REMEDY_PATIENCE": "0.4",
}
"""The demo looks and waits less long than an installation does, so that nobody has to sit through the night."""
OVER = frozenset({ServerStatus.READY, ServerStatus.IN_USE, ServerStatus.ERROR})
_CONVERGE_SHARE = 0.8
"""How much of the bar the playbook fills; the steps share the rest."""


async def run_demo(*, once: bool, hosts: int, simulated: bool) -> bool:
    """Show `hosts` servers becoming ready, and one of them coming back after its power failed.

    With `once`, end by itself; True when all of it went well.
    """
    console = Console(highlight=False)
    missing = missing_for_real_hosts()
    if missing and not simulated:
        console.print("Simulated hosts, because real ones cannot be booted here:", style="yellow")
        for line in missing:
            console.print(f"  - {line}", style="yellow")
    simulated = simulated or bool(missing)
    all_went_well = False
    with _data_directory() as directory:
        async with ending_by_signal():
            console.print(f"Starting a cloud with {hosts} {'simulated' if simulated else 'real Debian'} servers.")
            lab = Lab(name="demo", hosts=hosts, simulated=simulated, on_step=lambda step: console.print(f"  {step}"))
            async with lab:
                all_went_well = await _show(lab, directory, console, once=once)
    console.print("Everything that the demo started is ended and removed.")
    return all_went_well or not once


@contextmanager
def _data_directory() -> Iterator[Path]:
    """A data directory for this once. The embedded database runs as a user of its own and must get in."""
    with tempfile.TemporaryDirectory(prefix="lazaret-demo-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def _show(lab: Lab, directory: Path, console: Console, *, once: bool) -> bool:
    redactor = Redactor()
    configure_logging(level="error", log_format="console", redactor=redactor)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    listening = listen_on("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with TelegramServer().running() as telegram:
        places = {"LAZARET_DATA_DIR": str(directory), "LAZARET_PUBLIC_URL": address}
        settings = load_settings(lab.environment() | BRISK | telegram.environment(YOU) | places)
        telegram.telegram.person(YOU, first_name="You", has_started=True)
        async with open_office(settings, redactor=redactor) as office:
            return await _run(lab, office, listening, telegram, console, once=once)


async def _run(
    lab: Lab, office: Office, listening: socket.socket, telegram: TelegramServer, console: Console, *, once: bool
) -> bool:
    parts = (serve(office, listening), run_worker(office), run_monitor(office), run_bot(office))
    running = [asyncio.create_task(part) for part in parts]
    all_ready = is_back = False
    try:
        await _how_to_look(office, telegram, console)
        servers = await _watch(office, console)
        all_ready = bool(servers) and all(server.status == ServerStatus.READY for server in servers)
        _tell(servers, office, console)
        if all_ready:
            is_back = await rescue(lab, office, servers[0].handle, console)
        if not once:
            await _how_to_look(office, telegram, console)
            console.print("\nIt keeps running: look around, or log in. Ctrl-C ends and removes everything.")
            await asyncio.gather(*running)
    finally:
        await end_tasks(*running)
        listening.close()
    return all_ready and is_back


@dataclass(slots=True)
class _Board:
    """The bars, one for each server."""

    progress: Progress
    console: Console
    bars: dict[str, TaskID] = field(default_factory=dict)

    def take(self, servers: Sequence[Server], events: Sequence[OperationEvent]) -> None:
        """Show what is new."""
        for server in servers:
            if server.handle not in self.bars:
                title = f"{server.handle}  {server.public_ip}"
                self.bars[server.handle] = self.progress.add_task(title, total=1.0, what="discovered")
                self._plain(f"{server.handle} discovered at {server.public_ip}")
        for event in events:
            what, done = _position(event)
            if event.server_handle in self.bars and what:
                bar = self.bars[event.server_handle]
                self.progress.update(bar, what=what, completed=done)
                if event.kind != "task" and event.message != "started":
                    self._plain(f"{event.server_handle} {what}")
        for server in servers:
            if ServerStatus(server.status) in OVER:
                bar = self.bars[server.handle]
                self.progress.update(bar, completed=1.0, what=f"{server.status}: {server.status_reason}")
                self.progress.stop_task(bar)

    def _plain(self, line: str) -> None:
        """Without a terminal there are no bars: lines instead."""
        if not self.console.is_terminal:
            self.console.print(f"{time.strftime('%H:%M:%S')}  {line}", soft_wrap=True)


def _position(event: OperationEvent) -> tuple[str, float | None]:
    """What to say of an event, and how far it is from 0 to 1."""
    names = [step.name for step in STEPS]
    if event.kind == "task":
        total = event.data.get("total") or 1
        before = 1 - _CONVERGE_SHARE
        return f"{event.data.get('task', '')}", before + _CONVERGE_SHARE * event.data.get("position", 0) / total * 0.98
    if event.kind == "step" and event.step in names:
        share = names.index(event.step) / len(names)
        done = 0.99 if event.step in names[names.index("verify") :] else share * (1 - _CONVERGE_SHARE)
        return f"{event.step.replace('_', ' ')}: {event.message}", done
    return event.message, None


async def _watch(office: Office, console: Console) -> list[Server]:
    """Show bars until every server is ready or in error, or patience is over."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    wanted = len(office.settings.time4vps_managed_server_ids)
    servers: list[Server] = []
    after, deadline = 0, time.monotonic() + PATIENCE_S
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        board = _Board(progress, console)
        while time.monotonic() < deadline:
            async with office.db.transaction() as session:
                servers, _ = await list_servers(session, is_managed=True)
                events = await events_after(session, after)
            after = events[-1].id if events else after
            board.take(servers, events)
            if len(servers) == wanted and all(ServerStatus(server.status) in OVER for server in servers):
                break
            await asyncio.sleep(LOOK_S)
    return servers


async def _token(office: Office) -> str:
    async with office.db.transaction() as session:
        _, token = await create_token(session, "demo", Role.ADMIN, audit.WORKER, at=office.clock.now())
    return token.get_secret_value()


def _tell(servers: Sequence[Server], office: Office, console: Console) -> None:
    """What came out of it."""
    console.print()
    key = office.settings.lazaret_data_dir / "ssh" / "access_key"
    for server in servers:
        style = "green" if server.status == ServerStatus.READY else "bold red"
        took = (
            f" in {(server.provisioned_at - server.created_at).total_seconds():.0f} s" if server.provisioned_at else ""
        )
        console.print(f"  {server.handle} is {server.status}{took}. {server.status_reason}", style=style)
        if server.status == ServerStatus.READY and not office.settings.lazaret_lab_simulated:
            console.print(f"      ssh -i {key} -o UserKnownHostsFile=/dev/null root@{server.public_ip}", soft_wrap=True)


async def _how_to_look(office: Office, telegram: TelegramServer, console: Console) -> None:
    """Where to follow it: a link to the dashboard that works once, and the phone of the lab."""
    address = office.settings.lazaret_public_url
    async with office.db.transaction() as session:
        link = await create_login_link(session, "you", Role.ADMIN, audit.WORKER, at=office.clock.now())
    console.print(f"\n  dashboard  {address}/sign-in/{link.get_secret_value()}", soft_wrap=True)
    console.print(f"  phone      {telegram.root_url}/phone?person={YOU}")
    console.print(f"  API        {address}   (token: {await _token(office)})\n", soft_wrap=True)
