"""The directory of one run: inventory, variables and pinned host keys in private files, removed afterwards."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazaret.playbooks import DIRECTORY
from lazaret.servers.access import SshEndpoint

HOST_ALIAS = "lazaret-target"
"""The name under which the pinned keys stand in known_hosts, whatever the address."""

_END_S = 5


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where the files of a run lie."""

    directory: Path

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.json"

    @property
    def variables(self) -> Path:
        return self.directory / "variables.json"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def control_sockets(self) -> Path:
        return self.directory / "cp"


def inventory_of(endpoint: SshEndpoint, known_hosts: Path, private_key: Path) -> dict[str, Any]:
    """One host, reached by key, only if it proves a pinned host key. Pure."""
    options = {
        "HostKeyAlias": HOST_ALIAS,
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "BatchMode": "yes",
    }
    host = {
        "ansible_host": endpoint.address,
        "ansible_port": endpoint.port,
        "ansible_user": endpoint.user,
        "ansible_ssh_private_key_file": str(private_key),
        "ansible_ssh_common_args": " ".join(f"-o {name}={value}" for name, value in options.items()),
    }
    return {"all": {"hosts": {HOST_ALIAS: host}}}


def known_hosts_of(host_keys: Sequence[str]) -> str:
    """The pinned keys in OpenSSH's format. Pure."""
    return "".join(f"{HOST_ALIAS} {key}\n" for key in host_keys)


def environment_of(directory: Path) -> dict[str, str]:
    """All that Ansible sees of the environment: our own ansible-playbook first, nothing of the user's configuration."""
    return {
        "ANSIBLE_CONFIG": str(DIRECTORY / "ansible.cfg"),
        # ansible-runner turns the check off where this is not said, and its "no" would stand before our "yes".
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        "HOME": str(directory),
        "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
    }


@contextmanager
def workspace(
    endpoint: SshEndpoint, host_keys: Sequence[str], private_key: Path, variables: Mapping[str, Any]
) -> Iterator[Workspace]:
    """Make the directory, mode 0700, with a short path (sockets have little room for one); remove it at the end."""
    directory = Path(tempfile.mkdtemp(prefix="lzr-"))
    space = Workspace(directory)
    try:
        for path, content in (
            (space.known_hosts, known_hosts_of(host_keys)),
            (space.inventory, json.dumps(inventory_of(endpoint, space.known_hosts, private_key))),
            (space.variables, json.dumps(dict(variables))),
        ):
            path.write_text(content, encoding="utf-8")
            path.chmod(0o600)
        yield space
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def end_connections(space: Workspace) -> None:
    """End the ssh processes that hold connections open for a next task: there is none. Blocks some milliseconds."""
    for path in space.control_sockets.glob("*"):
        command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={path}", "-O", "exit", HOST_ALIAS]
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, check=False, capture_output=True, timeout=_END_S)
