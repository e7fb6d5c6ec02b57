"""A process that has imported Lazaret and forks for every command: a command costs what it does, not what it loads.

`python zygote.py SOCKET` serves; the program that `write_shim` makes asks it for a fork, instead of starting Python
with all of Lazaret in it. Standard input, output and error are handed over as they are, signals are passed on, and on
Linux a program that is killed takes its fork with it. The installed command itself is what the tests of the wheel call.
"""

import array
import atexit
import contextlib
import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

START_S = 240
F_SETSIG = 10
"""Linux's; Python has no name for it: fcntl(2)."""

SHIM = """#!{python} -ISE
import array, json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect({path!r})
body = json.dumps([{command!r}, sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
line.sendmsg([len(body).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
line.sendall(body)
pid = int.from_bytes(line.recv(4), "big")
for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(sign, lambda sign, _: os.kill(pid, sign))
answer = line.recv(1)
sys.exit(answer[0] if answer else 70)
"""
"""A command's program. It needs nothing but Python's own start."""


@contextmanager
def running_zygote(directory: Path) -> Iterator[Path]:
    """Serve while the block runs; yields the socket. Its path must be short: an address has 107 characters."""
    path = directory / "zygote"
    process = subprocess.Popen([sys.executable, __file__, str(path)], env={"PATH": os.environ["PATH"]})
    try:
        deadline = time.monotonic() + START_S
        while not path.exists():
            assert process.poll() is None and time.monotonic() < deadline, "the zygote does not start"
            time.sleep(0.05)
        yield path
    finally:
        process.terminate()
        process.wait()


def write_shim(program: Path, socket_path: Path, command: str = "lazaret") -> Path:
    """Put the program there: `lazaret`, or `lazaret.lab` for `python -m lazaret.lab`."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(SHIM.format(python=sys.executable, path=str(socket_path), command=command), encoding="utf-8")
    program.chmod(0o755)
    return program


def serve(path: str) -> None:
    """Fork for every call, until SIGTERM."""
    import lazaret.entrypoints.monitor
    import lazaret.entrypoints.up
    import lazaret.entrypoints.worker  # noqa: F401 - so that no command has to
    from lazaret.entrypoints.cli.main import COMMANDS, main
    from lazaret.lab.cli import lab_app

    for lazy in COMMANDS:
        lazy.load()
    gc.freeze()  # a fork that collects garbage would copy all of it

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(16)
    while True:
        line, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(line, {"lazaret": main, "lazaret.lab": lab_app})
        line.close()


def _run(line: socket.socket, commands: Mapping[str, Callable[[], object]]) -> None:
    """One command in this forked process; ends it."""
    head, extra, _, _ = line.recvmsg(4, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    handed = array.array("i", extra[0][2])
    for number, descriptor in enumerate(handed):
        os.dup2(descriptor, number)
        os.close(descriptor)
    length = int.from_bytes(head, "big")
    body = b""
    while len(body) < length:
        body += line.recv(length - len(body))
    command, arguments, environment, directory = json.loads(body)
    if sys.platform == "linux":
        fcntl.fcntl(line, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(line, F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(line, fcntl.F_SETFL, os.O_ASYNC)  # the other end hangs up when its process dies
    line.sendall(os.getpid().to_bytes(4, "big"))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = [command, *arguments]
    code = 1
    try:
        commands[command]()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - shown, as Python itself would
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stderr.flush()
        fcntl.fcntl(line, fcntl.F_SETFL, 0)
        with contextlib.suppress(OSError):
            line.sendall(bytes([code & 255]))
        os._exit(code & 255)


if __name__ == "__main__":
    serve(sys.argv[1])
