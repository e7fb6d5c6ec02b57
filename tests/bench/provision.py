"""What provisioning costs, on fresh Debian 13 hosts of the lab with a warm package cache, alternating in one run.

(a) a shell script on the host that reaches the same state, (b) Lazaret from `pending_setup` to `ready`, (c) the same
playbook under plain `ansible-playbook` with default settings, (d) an idempotent second run of ours; then four at once.
Prints medians and ratios and writes `bench-results/provision.json`. Run by `make bench-provision`.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lazaret.adapters.ansible import AnsibleRunner
from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.adapters.ssh.access_key import load_or_create_access_key
from lazaret.entrypoints.office import Office, open_office
from lazaret.entrypoints.worker import run_worker
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.secrets import Redactor
from lazaret.kernel.settings import load_settings
from lazaret.lab.instance import Lab
from lazaret.lab.real_hosts import missing_for_real_hosts
from lazaret.lab.servers import CloudServer
from lazaret.operations.model import LIVE, Operation, OperationStatus
from lazaret.operations.store import list_operations, steps_of
from lazaret.playbooks import DIRECTORY
from lazaret.provisioning.steps.install_access_key import SCRIPT as INSTALL_KEY
from lazaret.servers.access import PasswordLogin, SshEndpoint
from lazaret.servers.configuration import TaskEvent
from lazaret.servers.store import get_server

FLOOR = Path(__file__).with_name("provision_floor.sh")
AT_ONCE = 4


class Bench:
    """One lab, one Lazaret."""

    def __init__(self, lab: Lab, office: Office) -> None:
        self.lab = lab
        self.office = office
        self.access = AsyncSshAccess()
        self.key = load_or_create_access_key(office.settings.lazaret_data_dir, private_key_path=None, public_key=None)

    async def floor(self, server: CloudServer) -> float:
        """(a): seconds that the script takes, its login included."""
        begun = time.monotonic()
        endpoint = SshEndpoint(server.address)
        host_keys = await self.access.read_host_keys(endpoint)
        login = PasswordLogin(server.root_password)
        async with self.access.connect(endpoint, host_keys=host_keys, login=login) as session:
            command = f"sh -s {server.hostname} '{self.key.public_key}'"
            done = await session.run(command, stdin=FLOOR.read_text(), timeout_s=300)
        assert done.ok, done.stderr[-2000:]
        return time.monotonic() - begun

    async def lazaret(self, handle: str) -> tuple[float, float]:
        """(b): seconds from the operation's birth to its end, and those of them that are not Ansible's."""
        operation = await self.ended(handle)
        assert operation.status == OperationStatus.SUCCEEDED, operation.error
        assert operation.finished_at is not None
        async with self.office.db.transaction() as session:
            steps = await steps_of(session, operation.id)
        waits = {"converge", "wait_for_password", "wait_for_ssh"}
        spent = sum((s.finished_at - s.started_at).total_seconds() for s in steps if s.finished_at and s.name in waits)
        whole = (operation.finished_at - operation.created_at).total_seconds()
        return whole, whole - spent

    async def ended(self, handle: str) -> Operation:
        while True:
            async with self.office.db.transaction() as session:
                rows, _ = await list_operations(session, handle=handle, limit=1)
            if rows and OperationStatus(rows[0].status) not in LIVE:
                return rows[0]
            await asyncio.sleep(0.1)

    async def plain_ansible(self, server: CloudServer) -> float:
        """(c): seconds of `ansible-playbook` with nothing configured but where our modules are."""
        endpoint = SshEndpoint(server.address)
        host_keys = await self.access.read_host_keys(endpoint)
        login = PasswordLogin(server.root_password)
        async with self.access.connect(endpoint, host_keys=host_keys, login=login) as session:
            assert (await session.run(INSTALL_KEY, stdin=self.key.public_key + "\n")).ok
        with tempfile.TemporaryDirectory() as directory:
            known = Path(directory) / "known_hosts"
            known.write_text("".join(f"{server.address} {key}\n" for key in host_keys))
            arguments = [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i", f"{server.address},",
                "-u", "root",
                "--private-key", str(self.key.private_key),
                "--ssh-common-args", f"-o UserKnownHostsFile={known}",
                "-e", json.dumps({"server_hostname": server.hostname, "ssh_public_key": self.key.public_key}),
                str(DIRECTORY / "provision_server.yml"),
            ]  # fmt: skip
            environment = {"PATH": os.environ["PATH"], "HOME": directory, "ANSIBLE_LIBRARY": str(DIRECTORY / "library")}
            begun = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *arguments, env=environment | {"LC_ALL": "C.UTF-8"}, stdout=asyncio.subprocess.PIPE
            )
            out, _ = await process.communicate()
            assert process.returncode == 0, out.decode()[-2000:]
            return time.monotonic() - begun

    async def second_run(self, handle: str) -> float:
        """(d): seconds of our runner on a host that is as described."""

        async def ignore(_: TaskEvent) -> None:
            return None

        async with self.office.db.transaction() as session:
            server = await get_server(session, handle)
        result = await AnsibleRunner().run(
            "provision_server",
            SshEndpoint(server.public_ip or ""),
            host_keys=server.host_keys,
            private_key=self.key.private_key,
            variables={
                "server_hostname": server.host,
                "ssh_public_key": self.key.public_key,
                "baseline_version": server.baseline_version,
            },
            on_event=ignore,
            timeout_s=300,
        )
        assert result.ok and result.changed == 0, result
        return result.duration_s


async def measure(rounds: int) -> dict[str, object]:
    """Everything, as plain JSON."""
    managed = [3 * number + 2 for number in range(rounds)]
    managed += range(3 * rounds + 1, 3 * rounds + 1 + AT_ONCE)
    with tempfile.TemporaryDirectory(prefix="lazaret-bench-") as directory:
        Path(directory).chmod(0o755)
        async with Lab(name=f"b{os.getpid()}", hosts=0, simulated=False) as lab:
            environment = lab.environment() | {
                "LAZARET_DATA_DIR": directory,
                "SERVER_SYNC_INTERVAL": "5",
                "TIME4VPS_MANAGED_SERVER_IDS": ",".join(str(900_000 + number) for number in managed),
            }
            redactor = Redactor()
            configure_logging(level="error", log_format="console", redactor=redactor)
            async with open_office(load_settings(environment), redactor=redactor) as office:
                worker = asyncio.create_task(run_worker(office))
                try:
                    return await _rounds(Bench(lab, office), rounds)
                finally:
                    worker.cancel()
                    await asyncio.gather(worker, return_exceptions=True)


async def _rounds(bench: Bench, rounds: int) -> dict[str, object]:
    figures: dict[str, list[float]] = {"floor": [], "lazaret": [], "own": [], "plain_ansible": [], "second_run": []}
    for number in range(rounds):
        server = await bench.lab.add_server()
        figures["floor"].append(await bench.floor(server))
        await bench.lab.cloud.remove_server(server.server_id)
        server = await bench.lab.add_server()
        whole, own = await bench.lazaret(f"vps-{server.server_id}")
        figures["lazaret"].append(whole)
        figures["own"].append(own)
        figures["second_run"].append(await bench.second_run(f"vps-{server.server_id}"))
        await bench.lab.cloud.remove_server(server.server_id)
        server = await bench.lab.add_server()
        figures["plain_ansible"].append(await bench.plain_ansible(server))
        await bench.lab.cloud.remove_server(server.server_id)
        print(f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.1f} s" for name, values in figures.items()))
    begun = time.monotonic()
    servers = await asyncio.gather(*(bench.lab.add_server() for _ in range(AT_ONCE)))
    await asyncio.gather(*(bench.lazaret(f"vps-{server.server_id}") for server in servers))
    return {"rounds": figures, "four_at_once": time.monotonic() - begun}


def report(measured: dict[str, object]) -> dict[str, object]:
    """Medians and ratios."""
    rounds: dict[str, Sequence[float]] = measured["rounds"]  # type: ignore[assignment] # made above
    medians = {name: statistics.median(values) for name, values in rounds.items()}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "medians_s": medians,
        "lazaret_to_floor": medians["lazaret"] / medians["floor"],
        "plain_ansible_to_lazaret": medians["plain_ansible"] / medians["lazaret"],
        "own_cost_s": medians["own"],
        **measured,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    if missing := missing_for_real_hosts():
        print("This needs real hosts: " + "; ".join(missing), file=sys.stderr)
        return 2
    result = report(asyncio.run(measure(rounds)))
    path = Path("bench-results/provision.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result["medians_s"].items():  # type: ignore[attr-defined] # made above
        print(f"{name:<16} {value:6.1f} s (median of {rounds})")
    print(f"lazaret / floor  {result['lazaret_to_floor']:6.2f}   (bar 1.5, aim 1.2)")
    print(f"own cost         {result['own_cost_s']:6.1f} s (bar 2)")
    print(f"four at once     {result['four_at_once']:6.1f} s")
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
