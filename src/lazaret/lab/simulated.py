"""Simulated hosts: real SSH servers on loopback addresses, with real passwords and keys, and nothing behind them.

Owns a host's state and its life: disk, power, boot. Its network side is in `simulated_network`, what a remote command
answers in `simulated_commands`.
"""

import asyncio
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import asyncssh
from pydantic import BaseModel, Field, SecretStr

from lazaret.kernel.clock import Clock
from lazaret.kernel.errors import Conflict
from lazaret.lab.playing import Play
from lazaret.lab.simulated_commands import AUTHORIZED_KEYS, CommandTable, RemoteCall
from lazaret.lab.simulated_doors import ServiceDoors
from lazaret.lab.simulated_faults import PLAYS, Obstacle
from lazaret.lab.simulated_network import Listener, full_backlog
from lazaret.lab.simulated_services import SimulatedService
from lazaret.lab.store import write_private
from lazaret.lab.tasks import StoredSecret

_ENDING_WITH_A_BOOT = ("docker_down",)
"""Ailments of what runs, not of the disk."""


class HostState(BaseModel):
    """All that is on a simulated host's disk, and its boot id."""

    os: str = ""
    hostname: str = ""
    root_password: StoredSecret = SecretStr("")
    password_login: bool = True
    """The effective policy of sshd; hardening turns it off."""
    files: dict[str, str] = Field(default_factory=dict)
    converged: dict[str, list[str]] = Field(default_factory=dict)
    """Tasks that are already as described, by playbook."""
    host_key: StoredSecret = SecretStr("")
    """Private, OpenSSH; empty until somebody connects."""
    machine_id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    boot_id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    ailments: list[str] = Field(default_factory=list)
    """What its readings show: `docker_down`, `disk_full`, `firewall_off`."""
    services: dict[str, SimulatedService] = Field(default_factory=dict)
    """What was deployed on it, by name."""
    booted_at_s: float = 0.0
    """Of the clock's monotonic time."""
    is_cut: bool = False
    """Of its network, which is not on its disk: no reinstall changes it."""

    def authorized_keys(self) -> list[str]:
        """The lines of root's authorized_keys that hold a key."""
        lines = self.files.get(AUTHORIZED_KEYS, "").splitlines()
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


class SimulatedHost:
    """A `LabHost` without a machine."""

    kind = "simulated"
    plays: ClassVar[Mapping[str, Play[Any]]] = PLAYS

    def __init__(
        self,
        handle_id: int,
        address: str,
        ssh_port: int,
        *,
        clock: Clock,
        boot_s: float,
        commands: CommandTable,
        state_file: Path | None = None,
    ) -> None:
        self.handle_id = handle_id
        self.address = address
        self.ssh_port = ssh_port
        self.state = HostState()
        self.clock = clock
        self._boot_s = boot_s
        self._commands = commands
        self._state_file = state_file
        self._is_on = False
        self._passing: set[Obstacle] = set()
        self._boot: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._plug: list[socket.socket] = []
        self._doors = ServiceDoors(address)

    @property
    def is_on(self) -> bool:
        return self._is_on

    @property
    def obstacles(self) -> set[Obstacle]:
        """Why it does not answer as it should, although it is on."""
        return self._passing | ({Obstacle.CUT} if self.state.is_cut else set())

    def obstruct(self, obstacle: Obstacle) -> None:
        """Answer as if that were in the way."""
        if obstacle is Obstacle.CUT:
            self.state.is_cut = True
            self.remember()
        else:
            self._passing.add(obstacle)
        self._listen_as_it_is()

    def clear(self, obstacle: Obstacle) -> None:
        """End of `obstruct`; connections that were open during it are reset."""
        if obstacle is Obstacle.CUT:
            self.state.is_cut = False
            self.remember()
        self._passing.discard(obstacle)
        self._listen_as_it_is()

    async def create(self, *, os: str, hostname: str, root_password: SecretStr) -> None:
        """A fresh disk: keys, host key, policy and machine id are gone."""
        if self._is_on:
            await self.power_off()
        is_cut = self.state.is_cut
        self.state = HostState(os=os, hostname=hostname, root_password=root_password, is_cut=is_cut)
        self.remember()

    async def power_on(self) -> None:
        """Begin to boot; SSH answers `boot_s` seconds later."""
        if self._is_on:
            return
        self._is_on = True
        self.state.boot_id, self.state.booted_at_s = str(uuid.uuid4()), self.clock.monotonic()
        self._boot = asyncio.create_task(self._listen_after_boot())

    async def power_off(self) -> None:
        """No more answer to anything: open connections freeze, new ones meet silence."""
        await self._end_boot()
        self._silence()
        self._is_on = False
        self._open_doors()
        self._passing.clear()
        self.state.ailments = [one for one in self.state.ailments if one not in _ENDING_WITH_A_BOOT]
        self.remember()

    async def reboot(self) -> None:
        await self.power_off()
        await self.power_on()

    async def set_root_password(self, password: SecretStr) -> None:
        self.state.root_password = password
        self.remember()

    async def install_root_key(self, public_key: str) -> None:
        """Let this key log in."""
        self.state.files[AUTHORIZED_KEYS] = public_key.strip() + "\n"
        self.remember()

    async def flush_firewall(self) -> None:
        """Ends `lock_out`; it filters nothing else. Raises `Conflict` when it is off."""
        if not self._is_on:
            raise Conflict(f"Host {self.handle_id} is off.", hint="Power it on first.")
        self.clear(Obstacle.LOCK_OUT)

    def bring_about(self, service: SimulatedService) -> None:
        """Deploy, stop or remove a service."""
        if service.state == "removed":
            self.state.services.pop(service.name, None)
        elif service.state == "stopped" and service.name in self.state.services:
            self.state.services[service.name].state = service.state
        elif service.runs:
            self.state.services[service.name] = service
        self.remember()
        self._open_doors()

    def ail(self, ailment: str) -> None:
        """Let its readings show that."""
        self.state.ailments = [*self.state.ailments, ailment]
        self.remember()
        self._open_doors()

    def cure(self, ailment: str) -> None:
        """What its readings show ends, if they show it."""
        self.state.ailments = [one for one in self.state.ailments if one != ailment]
        self.remember()
        self._open_doors()

    def restart_ssh(self) -> None:
        """Open connections end, and new ones meet the state as it is now: keys, host key, policy."""
        if self._listener is not None:
            self._listener.close()
            self._listen_as_it_is()

    async def destroy(self) -> None:
        await self._end_boot()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._pull_plug()
        self._is_on = False
        self._open_doors()
        if self._state_file is not None:
            self._state_file.unlink(missing_ok=True)

    def remember(self) -> None:
        """Write the disk's state to its file, where there is one."""
        if self._state_file is not None:
            write_private(self._state_file, self.state.model_dump_json())

    def recall(self) -> bool:
        """Take the state from the file; false when there is none."""
        if self._state_file is None or not self._state_file.exists():
            return False
        self.state = HostState.model_validate_json(self._state_file.read_text(encoding="utf-8"))
        return True

    def host_key(self) -> asyncssh.SSHKey:
        """The host's private key; made when it is first needed."""
        if not self.state.host_key.get_secret_value():
            key = asyncssh.generate_private_key("ssh-ed25519")
            self.state.host_key = SecretStr(key.export_private_key().decode())
            self.remember()
            return key
        return asyncssh.import_private_key(self.state.host_key.get_secret_value())

    async def answer(self, call: RemoteCall) -> int:
        """Run a remote command; returns its exit status."""
        return await self._commands.run(self, call)

    async def _listen_after_boot(self) -> None:
        await self.clock.sleep(self._boot_s)
        if self._listener is None:
            self._listener = Listener(self)
        self._boot = None
        self._listen_as_it_is()

    def _listen_as_it_is(self) -> None:
        """As power, boot and obstacles want it. Nothing changes before the boot is over."""
        self._open_doors()
        if not self._is_on or self._boot is not None or self._listener is None:
            return
        obstacles = self.obstacles
        if obstacles & {Obstacle.CUT, Obstacle.LOCK_OUT}:
            self._silence()
            return
        self._pull_plug()
        if Obstacle.SSHD_STOPPED in obstacles:
            self._listener.close()
        elif Obstacle.HANG in obstacles:
            self._listener.hang()
        else:
            self._listener.open()

    def _open_doors(self) -> None:
        """A service answers while its host is up, Docker runs and the network lets it; a hung kernel only listens."""
        is_up = self._is_on and self._boot is None and not self.obstacles & {Obstacle.CUT, Obstacle.HANG}
        works = is_up and "docker_down" not in self.state.ailments
        services = self.state.services.values() if works else ()
        self._doors.set({service.port for service in services if service.runs and service.is_public})

    async def _end_boot(self) -> None:
        if self._boot is not None:
            self._boot.cancel()
            with suppress(asyncio.CancelledError):
                await self._boot
            self._boot = None

    def _silence(self) -> None:
        """Take the port with a backlog that is already full: the kernel then drops every further SYN."""
        if self._listener is not None:
            self._listener.freeze()
        if not self._plug:
            self._plug = full_backlog(self.address, self.ssh_port)

    def _pull_plug(self) -> None:
        for one in self._plug:
            one.close()
        self._plug = []
