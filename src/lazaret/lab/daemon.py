"""The lab as a background process: its files, its start, its end.

Owns one directory per lab with everything that must be ended later, so that `down` works after any crash.
"""

import asyncio
import fcntl
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from lazaret.kernel.errors import Conflict, InvalidInput, LazaretError, Unavailable
from lazaret.lab.account import Account
from lazaret.lab.client import LabClient
from lazaret.lab.instance import Lab
from lazaret.lab.processes import ProcessIdentity, end, identify, is_alive
from lazaret.lab.real_hosts import real_rack
from lazaret.lab.store import write_private
from lazaret.lab.tasks import StoredSecret

START_TIMEOUT_S = 900.0
"""The first start of real hosts builds a disk template and downloads packages."""
_STOP_PATIENCE_S = 60.0
_POLL_S = 0.1
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")

log = logging.getLogger(__name__)


class LabFile(BaseModel):
    """`lab.json`: how the lab was asked for, and which process serves it. Holds the account's password.

    A `port` of 0 takes a free one; as soon as it is taken it stands here, and a later process takes the same.
    """

    name: str
    hosts: int = Field(ge=0)
    simulated: bool
    time_scale: float
    port: int
    ssh_port: int
    login: str
    password: StoredSecret
    process: ProcessIdentity | None = None

    @property
    def account(self) -> Account:
        return Account(self.login, self.password)

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class LabDirectory:
    """The files of one lab."""

    def __init__(self, root: Path, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no name for a lab.", hint="Lower-case letters, digits and hyphens, at most 20."
            )
        self.name = name
        self.path = root / name
        self.log = self.path / "daemon.log"
        self._file = self.path / "lab.json"

    def read(self) -> LabFile | None:
        """What is known of the lab; None when there is none."""
        try:
            return LabFile.model_validate_json(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValidationError):
            return None

    def write(self, lab: LabFile) -> None:
        """Replace the file."""
        write_private(self._file, lab.model_dump_json())

    def running(self) -> LabFile | None:
        """The lab, if its process lives."""
        lab = self.read()
        return lab if lab is not None and lab.process is not None and is_alive(lab.process) else None

    @contextmanager
    def locked(self) -> Generator[None, None, None]:
        """One `up` or `down` at a time. Raises `Conflict` when another is at work."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.mkdir(exist_ok=True, mode=0o700)
        with (self.path.parent / f".{self.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(f"Another command is starting or ending lab {self.name!r}.") from None
            yield

    def forget(self) -> None:
        """Only the log is left, to be read after a start that failed."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path != self.log:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Nothing is left of the lab."""
        shutil.rmtree(self.path, ignore_errors=True)
        (self.path.parent / f".{self.name}.lock").unlink(missing_ok=True)


def start(directory: LabDirectory, lab: LabFile, *, on_step: Callable[[str], None]) -> LabFile:
    """Start the process and wait until the lab is ready. Raises `Unavailable` with the reason from its log."""
    directory.write(lab.model_copy(update={"process": None}))
    with directory.log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "lazaret.lab", "serve", str(directory.path.parent), directory.name],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    lab = lab.model_copy(update={"process": identify(child.pid)})
    try:
        return _when_ready(directory, lab, on_step)
    except BaseException:
        _end_all(directory, lab)
        directory.forget()
        raise


def stop(directory: LabDirectory) -> bool:
    """End the lab's process, hosts and files. False when there was nothing."""
    lab = directory.read()
    if lab is None:
        directory.remove()
        return False
    _end_all(directory, lab)
    directory.remove()
    return True


async def serve(directory: LabDirectory, lab: LabFile, *, on_ready: Callable[[Lab], None] = lambda _: None) -> None:
    """Be the lab until SIGTERM or SIGINT, then take everything down."""
    lab = lab.model_copy(update={"process": identify(os.getpid())})
    directory.write(lab)

    def on_step(step: str) -> None:
        """The first comes when the APIs are served: only now is the port known."""
        port = urlsplit(instance.root_url).port
        if port != lab.port:
            lab.port = port or 0
            directory.write(lab)
        log.info("%s", step)

    stopping = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(sign, stopping.set)
    instance = Lab(
        name=lab.name,
        hosts=lab.hosts,
        time_scale=lab.time_scale,
        port=lab.port,
        ssh_port=lab.ssh_port,
        account=lab.account,
        state_dir=directory.path,
        simulated=lab.simulated,
        on_step=on_step,
    )
    starting = asyncio.create_task(instance.start())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return
    starting.result()
    on_ready(instance)
    await waiting
    await instance.stop()


def run_daemon(root: Path, name: str) -> int:
    """Body of the background process; returns its exit code. The last log line says what went wrong."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for noisy in ("asyncssh", "httpx", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _allow_many_sockets()
    directory = LabDirectory(root, name)
    lab = directory.read()
    if lab is None:
        log.error("there is no lab %r in %s", name, root)
        return 2
    try:
        asyncio.run(serve(directory, lab))
    except LazaretError as error:
        log.error("%s", error)
        return 1
    except BaseExceptionGroup as group:
        log.error("%s", "; ".join(dict.fromkeys(str(error) for error in group.exceptions)))
        log.debug("all of it", exc_info=group)
        return 1
    return 0


def _end_all(directory: LabDirectory, lab: LabFile) -> None:
    """The process and whatever it started."""
    if lab.process is not None and is_alive(lab.process):
        end(lab.process, patience_s=_STOP_PATIENCE_S)
    asyncio.run(_end_leftovers(directory, lab))


async def _end_leftovers(directory: LabDirectory, lab: LabFile) -> None:
    """What a killed daemon left: simulated hosts died with it, real ones run on until their rack ends them."""
    if not lab.simulated:
        await real_rack(lab.name, directory.path / "hosts").down()


def _allow_many_sockets() -> None:
    """Every simulated host has a socket, and every connection to it another."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _when_ready(directory: LabDirectory, lab: LabFile, on_step: Callable[[str], None]) -> LabFile:
    """The lab as its process has written it down, once it is ready."""
    client, last_step = None, ""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if lab.process is None or not is_alive(lab.process):
            raise Unavailable(f"The lab did not start: {_last_line(directory.log)}", hint=f"Log: {directory.log}")
        if client is None and (written := directory.running()) is not None and written.port:
            lab, client = written, LabClient(written.root_url)
        health = client.health() if client is not None else None
        if health is not None and health["name"] == lab.name:
            if health["step"] != last_step:
                last_step = str(health["step"])
                on_step(last_step)
            if health["is_ready"]:
                return lab
        time.sleep(_POLL_S)
    raise Unavailable(f"The lab is not ready after {START_TIMEOUT_S:.0f} s.", hint=f"Log: {directory.log}")


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1][:500] if lines else "it said nothing"
