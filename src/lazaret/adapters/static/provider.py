"""Hosts from a file as a provider: it lists, and can do nothing else. Fulfils `servers.provider.Provider`."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from pydantic import SecretStr

from lazaret.adapters.static.hosts import HostsFileUnreadable, StaticHost
from lazaret.adapters.static.hosts_file import HostsFile
from lazaret.servers.access import KeyLogin, Login, PasswordLogin
from lazaret.servers.provider import (
    Capability,
    ListedServer,
    OsTemplate,
    ProviderCannot,
    ProviderRefused,
    ProviderTask,
    ProviderTaskUnknown,
    ServerDetails,
)
from lazaret.servers.registry import STATIC

LONGEST_PASSWORD = 200


class StaticProvider:
    """The hosts of one file, read anew at each question."""

    name = STATIC.name
    capabilities = STATIC.capabilities
    task_names: Mapping[Capability, str] = {}

    def __init__(self, file: HostsFile) -> None:
        self._file = file

    async def list_servers(self) -> list[ListedServer]:
        return [
            ListedServer(
                server_id=host.id,
                public_ip=host.address,
                hostname=host.name,
                label=host.label,
                ssh_port=host.port,
                ssh_user=host.user,
                host_keys=host.host_keys,
                is_managed=host.managed,
            )
            for host in self._file.hosts()
        ]

    async def get_server(self, server_id: int, *, fresh: bool = False) -> ServerDetails:  # noqa: ARG002 - always fresh
        host = self._host(server_id)
        return ServerDetails(
            server_id=host.id,
            public_ip=host.address,
            hostname=host.name,
            label=host.label,
            status="listed",
            os_template=None,
            cpu_cores=None,
            ram_mb=None,
            disk_mb=None,
        )

    async def list_os(self, server_id: int) -> list[OsTemplate]:
        self._host(server_id)
        return []

    async def first_login(self, server_id: int) -> Login | None:
        named = self._host(server_id).first_login
        if named is None:
            return None
        if named.private_key is not None:
            return KeyLogin(self._file.beside(named.private_key))
        assert named.password_file is not None
        return PasswordLogin(_password_in(self._file.beside(named.password_file)))

    async def reboot(self, server_id: int) -> int:
        self._cannot(server_id, Capability.REBOOT)

    async def reinstall(self, server_id: int, os: str) -> int:  # noqa: ARG002 - the Protocol's names
        self._cannot(server_id, Capability.REINSTALL)

    async def reset_password(self, server_id: int) -> int:
        self._cannot(server_id, Capability.RESET_PASSWORD)

    async def flush_firewall(self, server_id: int) -> int:
        self._cannot(server_id, Capability.FLUSH_FIREWALL)

    async def get_task_result(self, server_id: int, task_id: int) -> ProviderTask:
        self._host(server_id)
        raise ProviderTaskUnknown(f"The hosts file has no tasks, and so no task {task_id}.")

    async def wait_for_task(self, server_id: int, task_id: int, *, timeout_s: float) -> ProviderTask:  # noqa: ARG002
        return await self.get_task_result(server_id, task_id)

    async def wait_for_password_reset(
        self,
        server_id: int,
        task_id: int,  # noqa: ARG002 - the Protocol's names
        *,
        timeout_s: float = 300,  # noqa: ARG002
    ) -> SecretStr:
        self._cannot(server_id, Capability.RESET_PASSWORD)

    def password_in(self, task: ProviderTask) -> SecretStr | None:  # noqa: ARG002 - there are no tasks
        return None

    def _host(self, server_id: int) -> StaticHost:
        for host in self._file.hosts():
            if host.id == server_id:
                return host
        raise ProviderRefused(
            f"The hosts file names no host with the id {server_id}.", hint="Nothing is done to a host that left it."
        )

    def _cannot(self, server_id: int, action: Capability) -> NoReturn:
        host = self._host(server_id)
        raise ProviderCannot(
            f"{host.name} is a host from a file, behind which nobody is who could do this: {action}.",
            hint="Do it by hand, at the machine or with the company that it is rented from.",
        )


def _password_in(path: Path) -> SecretStr:
    """The first line of the file. Raises `HostsFileUnreadable`."""
    try:
        password = path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8"
        raise HostsFileUnreadable(
            f"The file {path} with the password for the first login cannot be read: {why}.",
            hint="Mend password_file in the hosts file, or give the password with --root-password-stdin.",
        ) from None
    if not password or len(password) > LONGEST_PASSWORD:
        raise HostsFileUnreadable(
            f"The first line of {path} is no password: 1 to {LONGEST_PASSWORD} characters.", hint="Mend that file."
        )
    return SecretStr(password)
