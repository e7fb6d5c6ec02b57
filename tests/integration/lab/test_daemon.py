"""The lab as a process: up, seen, killed, taken up again, down; nothing is left."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from tests.zygote import write_shim

from lazaret.lab.processes import ProcessIdentity, is_alive


class Shell:
    """Runs `python -m lazaret.lab` with a state directory of the test's own."""

    def __init__(self, root: Path, program: Path) -> None:
        self.root = root
        self.program = program
        self.name = f"d{os.getpid()}"

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [self.program, *words, "--state-dir", str(self.root), "--name", self.name]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def file(self) -> dict:
        return json.loads((self.root / self.name / "lab.json").read_text())

    def process(self) -> ProcessIdentity:
        return ProcessIdentity.model_validate(self.file()["process"])


@pytest.fixture(scope="session")
def lab_program(zygote: Path) -> Path:
    return write_shim(zygote.with_name("lab"), zygote, "lazaret.lab")


@pytest.fixture
def lab(tmp_path: Path, lab_program: Path):
    shell = Shell(tmp_path / "labs", lab_program)
    yield shell
    shell("down")


def rows(lab: Shell) -> list[dict]:
    return json.loads(lab("list", "--json").stdout)


def variables(text: str) -> dict[str, str]:
    return dict(line.removeprefix("export ").split("=", 1) for line in text.splitlines())


def accepts_tcp(row: dict) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((row["public_ip"], row["ssh_port"])) == 0


def test_up_tells_the_environment_and_down_leaves_nothing(lab):
    up = lab("up", "--hosts", "2", "--simulated", "--env")
    assert up.returncode == 0, up.stderr
    env = variables(up.stdout)
    assert env["TIME4VPS_MANAGED_SERVER_IDS"] == "900001,900002" and env["LAZARET_LAB_SIMULATED"] == "1"
    assert env["TIME4VPS_PASSWORD"] not in up.stderr
    listed = rows(lab)
    assert [row["handle"] for row in listed] == ["vps-900001", "vps-900002"] and all(map(accepts_tcp, listed))
    assert (lab.root / lab.name / "lab.json").stat().st_mode & 0o777 == 0o600
    process = lab.process()
    assert is_alive(process)
    down = lab("down")
    assert down.returncode == 0
    assert not is_alive(process) and not any(map(accepts_tcp, listed))
    assert list(lab.root.iterdir()) == []
    assert lab("down").returncode == 0


def test_a_second_up_finds_the_lab_that_runs(lab):
    first, second = (lab("up", "--hosts", "1", "--simulated", "--env") for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout and "runs already" in second.stderr


def test_a_killed_lab_comes_back_with_its_faults(lab):
    lab("up", "--hosts", "1", "--simulated")
    for words in (("cut",), ("disk_full",), ("sshd_stopped",)):
        assert lab("fault", "vps-900001", *words).returncode == 0
    os.kill(lab.process().pid, signal.SIGKILL)
    again = lab("up", "--simulated")
    assert again.returncode == 0, again.stderr
    assert rows(lab)[0]["faults"] == ["cut direction=both", "disk_full percent=98"], "a boot starts sshd"
    assert not accepts_tcp(rows(lab)[0])
    assert lab("heal", "vps-900001").returncode == 0
    assert rows(lab)[0]["faults"] == [] and accepts_tcp(rows(lab)[0])


def test_a_killed_lab_is_taken_up_again_as_it_was(lab):
    first = lab("up", "--hosts", "1", "--simulated", "--env")
    process, before = lab.process(), rows(lab)
    os.kill(process.pid, signal.SIGKILL)
    for _ in range(100):
        if not is_alive(process):
            break
    second = lab("up", "--env")
    assert second.returncode == 0, second.stderr
    assert "process died" in second.stderr and second.stdout == first.stdout
    assert rows(lab) == before and accepts_tcp(before[0])
    assert lab.process() != process


def test_down_cleans_up_after_a_killed_lab(lab):
    lab("up", "--hosts", "1", "--simulated")
    os.kill(lab.process().pid, signal.SIGKILL)
    assert lab("down").returncode == 0
    assert list(lab.root.iterdir()) == []


def test_a_stranger_with_the_same_process_id_is_left_alone(lab):
    lab("up", "--hosts", "0", "--simulated")
    process = lab.process()
    os.kill(process.pid, signal.SIGKILL)
    data = lab.file()
    own = os.getpid()
    (lab.root / lab.name / "lab.json").write_text(json.dumps({**data, "process": {"pid": own, "started": "other"}}))
    assert lab("list").returncode == 1
    assert lab("down").returncode == 0  # and this test still runs


def test_operating_by_command(lab):
    lab("up", "--hosts", "1", "--simulated")
    assert lab("power-off", "vps-900001").returncode == 0
    assert rows(lab)[0]["is_on"] is False
    assert lab("power-on", "vps-900001").returncode == 0
    assert lab("add", "--label", "more").returncode == 0
    assert [row["label"] for row in rows(lab)] == ["", "more"]
    switch = lab("switch", "throttle", "times=3", "handle=vps-900002", "call=details")
    assert json.loads(switch.stdout)["on"] == [
        {"name": "throttle", "times": 3, "server_id": 900002, "call": "details", "left": 3}
    ]
    assert json.loads(lab("switch", "--clear").stdout)["on"] == []
    actions = [one["action"] for one in json.loads(lab("journal", "--json", "--handle", "vps-900001").stdout)]
    assert actions == ["add", "power-off", "power-on"]
    assert lab("remove", "vps-900002").returncode == 0 and len(rows(lab)) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["list"], 1, "does not run"),
        (["power-off", "900001"], 1, "does not run"),
        (["up", "--name", "Not A Name"], 2, "no name for a lab"),
        (["up", "--time-scale", "0"], 2, "time-scale"),
        (["up", "--hosts", "-1"], 2, "--hosts"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(lab, words, code, said):
    command = [lab.program, *words, *(() if "frobnicate" in words else ("--state-dir", str(lab.root)))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_start_that_fails_tells_why_and_leaves_nothing_that_runs(lab):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        up = lab("up", "--hosts", "1", "--simulated", "--port", str(taken.getsockname()[1]))
    assert up.returncode == 1
    assert "cannot be used" in up.stderr and "Traceback" not in up.stderr
    assert [path.name for path in (lab.root / lab.name).iterdir()] == ["daemon.log"]
