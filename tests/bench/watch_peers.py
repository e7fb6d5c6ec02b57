"""What others need for the same checks, over a farm of the same kind: they connect each time, having no stream.

`parallel-ssh` runs one command that prints what a reading holds, `ansible -m ping` logs in and runs Python there, and
Prometheus' blackbox exporter opens a TCP connection. CPU is that of the whole process tree on this side; of
parallel-ssh without the start of its process, which it could be spared.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOSTS = 200
"""Per round; connecting costs the same for each."""
PARALLEL = 10
COMMAND = "cat /proc/sys/kernel/random/boot_id /proc/uptime /proc/loadavg /proc/meminfo"
ENVIRONMENT = Path("bench-results/peers")
LOCK = Path(__file__).with_name("peers.lock")
PSSH = """
import sys, time
from pssh.clients import ParallelSSHClient
begun = time.process_time()
port, key, command, parallel, *hosts = sys.argv[1:]
client = ParallelSSHClient(hosts, user="root", port=int(port), pkey=key, pool_size=int(parallel), allow_agent=False)
output = client.run_command(command)
client.join(output)
lines = [len(list(one.stdout)) for one in output]
assert len(lines) == len(hosts) and all(lines), lines
print(time.process_time() - begun)
"""
"""Says what its checks took, without Python's start and imports, which a program that stays would pay once."""


class Peers:
    """The tools that are there, each as a function from addresses to CPU seconds."""

    def __init__(self, port: int, key: Path) -> None:
        self._port = port
        self._key = key
        self._exporter: subprocess.Popen[bytes] | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="lazaret-peers-")

    def close(self) -> None:
        """End what was started."""
        if self._exporter is not None:
            self._exporter.terminate()
            self._exporter.wait()
        self._directory.cleanup()

    def there(self) -> dict[str, Callable[[list[str]], float]]:
        """By name. What cannot be had is told and left out."""
        found: dict[str, Callable[[list[str]], float]] = {"ansible -m ping": self._ansible}
        if self._make_environment():
            found["parallel-ssh"] = self._parallel_ssh
        if shutil.which("prometheus-blackbox-exporter"):
            self._start_exporter()
            found["blackbox exporter (TCP only)"] = self._blackbox
        else:
            print("  no blackbox exporter: apt-get install prometheus-blackbox-exporter", file=sys.stderr)
        return found

    def _make_environment(self) -> bool:
        if (ENVIRONMENT / "bin/python").exists():
            return True
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        install = [str(ENVIRONMENT / "bin/pip"), "install", "-q", "--require-hashes", "-r", str(LOCK)]
        if subprocess.run(install, check=False).returncode == 0:
            return True
        shutil.rmtree(ENVIRONMENT)
        print("  no parallel-ssh: it could not be installed", file=sys.stderr)
        return False

    def _parallel_ssh(self, hosts: list[str]) -> float:
        python = str(ENVIRONMENT / "bin/python")
        command = [python, "-c", PSSH, str(self._port), str(self._key), COMMAND, str(PARALLEL), *hosts]
        return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout)

    def _ansible(self, hosts: list[str]) -> float:
        inventory = Path(self._directory.name) / "inventory"
        common = f"ansible_port={self._port} ansible_user=root ansible_ssh_private_key_file={self._key}"
        common += f" ansible_python_interpreter={sys.executable}"
        inventory.write_text("".join(f"{host} {common}\n" for host in hosts), encoding="utf-8")
        program = str(Path(sys.executable).with_name("ansible"))
        return _children_cpu_s(
            [program, "all", "-i", str(inventory), "-m", "ping", "--forks", str(PARALLEL), "--one-line"],
            ANSIBLE_HOST_KEY_CHECKING="False",
            ANSIBLE_PIPELINING="True",
            ANSIBLE_SSH_ARGS="-o ControlMaster=no -o UserKnownHostsFile=/dev/null",
        )

    def _start_exporter(self) -> None:
        config = Path(self._directory.name) / "blackbox.yml"
        config.write_text(
            json.dumps({"modules": {"tcp_connect": {"prober": "tcp", "timeout": "5s"}}}), encoding="utf-8"
        )
        command = ["prometheus-blackbox-exporter", f"--config.file={config}", "--web.listen-address=127.0.0.1:9197"]
        self._exporter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                urllib.request.urlopen("http://127.0.0.1:9197/-/healthy", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the blackbox exporter does not answer")

    def _blackbox(self, hosts: list[str]) -> float:
        assert self._exporter is not None
        before = _cpu_of(self._exporter.pid)
        with ThreadPoolExecutor(PARALLEL) as pool:
            answers = list(pool.map(self._probe, hosts))
        assert all("probe_success 1" in answer for answer in answers)
        return _cpu_of(self._exporter.pid) - before

    def _probe(self, host: str) -> str:
        url = f"http://127.0.0.1:9197/probe?module=tcp_connect&target={host}:{self._port}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(answer.read().decode())


def _children_cpu_s(command: list[str], **environment: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, **environment}, timeout=180
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
