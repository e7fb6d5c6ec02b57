"""One running lab: rack, cloud, both APIs and the HTTP server, put together; for tests, the demo and the daemon.

`async with Lab(name="t1", hosts=2) as lab:` gives a provider account whose hosts accept SSH.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from lazaret.kernel.clock import Clock, SystemClock
from lazaret.kernel.errors import Misconfigured, Unavailable
from lazaret.lab.account import Account, new_account
from lazaret.lab.api import BASE_PATH, ProviderApi
from lazaret.lab.cloud import Cloud
from lazaret.lab.control import ControlApi, LabStatus
from lazaret.lab.environment import lab_environment
from lazaret.lab.gateway import Gateway, LabHttpProtocol
from lazaret.lab.journal import Journal
from lazaret.lab.rack import Rack
from lazaret.lab.real_hosts import real_rack
from lazaret.lab.servers import CloudServer
from lazaret.lab.simulated_commands import DEFAULT_COMMANDS, CommandTable, commands_with_switches
from lazaret.lab.simulated_rack import DEFAULT_SSH_PORT, SimulatedRack
from lazaret.lab.store import ServerStore
from lazaret.lab.switches import Switchboard
from lazaret.lab.tasks import Pace

DEFAULT_TIME_SCALE = 0.02
_HOST_WAIT_S = 120.0
_BOOT_S = 20.0
"""How long a simulated host boots at time scale 1."""

log = logging.getLogger(__name__)


class Lab:
    """A lab in this process. `state_dir` lets a later process take it up again."""

    def __init__(
        self,
        *,
        name: str = "lab",
        hosts: int = 0,
        simulated: bool = True,
        time_scale: float = DEFAULT_TIME_SCALE,
        port: int = 0,
        ssh_port: int = DEFAULT_SSH_PORT,
        account: Account | None = None,
        state_dir: Path | None = None,
        commands: CommandTable = DEFAULT_COMMANDS,
        rack: Rack | None = None,
        clock: Clock | None = None,
        on_step: Callable[[str], None] = log.info,
    ) -> None:
        self.name = name
        self.clock = clock or SystemClock()
        self.account = account or new_account()
        self._hosts = hosts
        self._port = port
        self._on_step = on_step
        if state_dir is not None:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.switches = Switchboard(self.clock)
        self.journal = Journal(self.clock, state_dir / "journal.jsonl" if state_dir else None)
        directory = state_dir / "hosts" if state_dir else None
        if rack is None and not simulated:
            rack = real_rack(name, directory)
        self.rack = rack or SimulatedRack(
            name=name,
            clock=self.clock,
            boot_s=_BOOT_S * time_scale,
            ssh_port=ssh_port,
            commands=commands_with_switches(commands, self.switches),
            directory=directory,
        )
        self.cloud = Cloud(
            rack=self.rack,
            clock=self.clock,
            pace=Pace(time_scale),
            switches=self.switches,
            journal=self.journal,
            store=ServerStore(state_dir / "servers") if state_dir else None,
        )
        self.status = LabStatus(name=name, wanted_hosts=hosts)
        self._time_scale = time_scale
        self._http = _HttpServer(self)

    @property
    def base_url(self) -> str:
        """What TIME4VPS_BASE_URL has to be."""
        return f"{self.root_url}{BASE_PATH}"

    @property
    def root_url(self) -> str:
        """Below it are `/api` and `/lab`."""
        return f"http://127.0.0.1:{self._http.port}"

    def environment(self) -> dict[str, str]:
        """The variables that point Lazaret at this lab, all servers managed. Holds the account's password."""
        servers = self.cloud.servers()
        return lab_environment(
            base_url=self.base_url,
            account=self.account,
            server_ids=[server.server_id for server in servers],
            ssh_port=self.rack.ssh_port,
            os_template=self.rack.templates[0].os,
            time_scale=self._time_scale,
            simulated=self.rack.simulated,
        )

    async def add_server(self, *, os: str | None = None, label: str = "") -> CloudServer:
        """Rent one more server; returns when it accepts TCP on its SSH port."""
        server = await self.cloud.add_server(os=os, label=label)
        await wait_for_port(server.address, server.ssh_port, timeout_s=_HOST_WAIT_S)
        return server

    async def start(self) -> None:
        """Serve the APIs, take up what was left, and add what is missing of the wanted hosts."""
        await self._http.start(self._port)
        try:
            await self._start_hosts()
        except BaseException:
            await self.stop()
            raise

    async def stop(self, *, destroy: bool = True) -> None:
        """End everything; without `destroy`, hosts and state stay for a later process."""
        await self._http.stop()
        await self.cloud.close(destroy=destroy)
        if destroy or self.rack.simulated:
            await self.rack.down()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_hosts(self) -> None:
        once = "" if self.rack.simulated else "; the first time on a machine that takes a minute or two"
        self._say(f"preparing the network and the disk template{once}")
        await self.rack.up()
        await self.cloud.resume()
        missing = max(0, self._hosts - len(self.cloud.servers()))
        if missing:
            self._say(f"starting {missing} hosts")
        limit = asyncio.Semaphore(self.rack.hosts_at_once)

        async def add() -> None:
            async with limit:
                await self.add_server()

        async with asyncio.TaskGroup() as group:
            for _ in range(missing):
                group.create_task(add())
        await self._wait_for_hosts()
        self._say("ready")
        self.status.is_ready = True

    async def _wait_for_hosts(self) -> None:
        """Those that were taken up again boot, too; one with a fault may have every reason not to answer."""
        for server in self.cloud.servers():
            if server.is_powered and not await self.cloud.faults(server.server_id):
                await wait_for_port(server.address, server.ssh_port, timeout_s=_HOST_WAIT_S)

    def _say(self, step: str) -> None:
        self.status.step = step
        self._on_step(step)


class _HttpServer:
    """uvicorn inside this event loop, without its signal handlers."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._server: _QuietServer | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError as error:
            listening.close()
            raise Misconfigured(f"Port {port} cannot be used: {error.strerror}.", hint="Choose another port.") from None
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            _app(self._lab),
            http=LabHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _QuietServer(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]), name="lab http server")
        await self._server.is_up.wait()

    async def stop(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._server = self._task = None


class _QuietServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """The process that we live in owns its signals."""
        yield


def _app(lab: Lab) -> Starlette:
    provider = ProviderApi(lab.cloud, lab.account, lab.clock)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (await provider.answer(Request(scope, receive)))(scope, receive, send)

    gateway = Gateway(answer, switches=lab.switches, journal=lab.journal, clock=lab.clock)
    control = ControlApi(lab.cloud, lab.status)
    return Starlette(routes=[Mount("/lab", routes=control.routes()), Mount(BASE_PATH, app=gateway)])


async def wait_for_port(address: str, port: int, *, timeout_s: float) -> None:
    """Return when a TCP connect succeeds. Raises `Unavailable` after `timeout_s`."""
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < deadline_s:
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError):
            await asyncio.sleep(0.05)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return
    raise Unavailable(f"Nothing answers on {address}:{port} after {timeout_s:.0f} s.")
