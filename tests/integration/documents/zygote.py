"""A process that has imported Lazaret and forks for every command: a command costs what it does, not what it loads.

`python zygote.py SOCKET` serves; `call` is what the program `lazaret` of a session does instead of starting Python
with all of Lazaret in it. Standard input, output and error are handed over as they are.
"""

import array
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

SHIM = """#!{python} -ISE
import array, json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect({path!r})
body = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
line.sendmsg([len(body).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
line.sendall(body)
pid = int.from_bytes(line.recv(4), "big")
for sign in (signal.SIGTERM, signal.SIGINT):
    signal.signal(sign, lambda sign, _: os.kill(pid, sign))
answer = line.recv(1)
sys.exit(answer[0] if answer else 70)
"""
"""The program `lazaret` of a session. It needs nothing but Python's own start."""


def write_shim(program: Path, socket_path: Path) -> None:
    """Put the program there."""
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(SHIM.format(python=sys.executable, path=str(socket_path)), encoding="utf-8")
    program.chmod(0o755)


def serve(path: str) -> None:
    """Fork for every call, until SIGTERM."""
    import lazaret.entrypoints.monitor
    import lazaret.entrypoints.up
    import lazaret.entrypoints.worker  # noqa: F401 - so that no command has to
    from lazaret.entrypoints.cli.main import COMMANDS, main

    for lazy in COMMANDS:
        lazy.load()

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(16)
    while True:
        line, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _run(line, main)
        line.close()


def _run(line: socket.socket, main) -> None:  # type: ignore[no-untyped-def]
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
    arguments, environment, directory = json.loads(body)
    line.sendall(os.getpid().to_bytes(4, "big"))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = ["lazaret", *arguments]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            line.sendall(bytes([code & 255]))
        os._exit(code & 255)


if __name__ == "__main__":
    serve(sys.argv[1])
