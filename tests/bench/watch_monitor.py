"""The process that the benchmark of watching measures: a monitor, and a line about itself every second."""

import asyncio
import gc
import json
import resource
import sys
import time
from pathlib import Path

from lazaret.adapters.ssh import AsyncSshAccess, SshReadingStreams
from lazaret.adapters.ssh.access_key import load_or_create_access_key
from lazaret.entrypoints.cli.main import GC_AFTER
from lazaret.kernel.clock import SystemClock
from lazaret.kernel.database import Database
from lazaret.kernel.logging import configure_logging
from lazaret.kernel.metrics import READINGS
from lazaret.kernel.secrets import Redactor
from lazaret.probing.fleet import AnchorState
from lazaret.probing.monitor import Monitor
from lazaret.probing.rules import Rules
from lazaret.probing.verdict import Verdict
from lazaret.probing.watcher import Senses, Watcher
from lazaret.servers.access import KeyLogin


class Nobody:
    """Acts upon nothing; a verdict that somebody is lost would make the figures wrong."""

    async def on_verdict(self, watcher: Watcher, verdict: Verdict) -> None:
        assert verdict.phase != "lost", f"{watcher.server.handle}: {verdict.because}"

    async def on_blind(self, because: str) -> None:
        assert not because, because


async def main(conninfo: str, directory: str, heartbeat_s: float, full_every_s: float) -> None:
    clock = SystemClock()
    key = load_or_create_access_key(Path(directory), private_key_path=None, public_key=None)
    login = KeyLogin(key.private_key)
    senses = Senses(
        access=AsyncSshAccess(),
        streams=SshReadingStreams(login, clock),
        login=login,
        clock=clock,
        rules=Rules(),
        heartbeat_s=heartbeat_s,
        full_every_s=full_every_s,
    )

    async def anchors() -> AnchorState:
        return AnchorState.REACHABLE

    async def expecting(_: object, __: object) -> dict[str, object]:
        return {}

    async with Database(conninfo) as db:
        monitor = Monitor(db, senses, Nobody(), anchors=anchors, expecting=expecting)  # type: ignore[arg-type]
        running = asyncio.create_task(monitor.run())
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        lags: list[float] = []
        told_for_s = 0.0
        while not ended.done():
            begun = time.monotonic()
            await asyncio.sleep(1)
            begun_cpu_s = time.process_time()
            lags = [*lags[-99:], 1000 * (time.monotonic() - begun - 1)]
            streams = sum(watcher.streaming for watcher in monitor.watchers.values())
            tell(len(monitor.watchers), streams, sorted(lags)[int(0.99 * (len(lags) - 1))], told_for_s)
            told_for_s += time.process_time() - begun_cpu_s
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def tell(watched: int, streams: int, lag_ms: float, told_for_s: float) -> None:
    """A line about this process; the CPU that such lines cost is not the monitor's."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    line = {
        "at": time.time(),
        "watched": watched,
        "streams": streams,
        "readings": READINGS._value.get(),
        "cpu_s": used.ru_utime + used.ru_stime - told_for_s,
        "rss_kb": pages * 4,
        "lag_p99_ms": lag_ms,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    gc.set_threshold(GC_AFTER, 20, 20)  # as the command line does
    configure_logging(level="error", log_format="json", redactor=Redactor())  # standard output is for figures
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
