"""What watching costs: one monitor process over many servers with real SSH on loopback and a real PostgreSQL.

For 100, 1,000 and 10,000 servers at the default rhythm (a reading every 10 s, a full one every 60 s): CPU and memory
per server and reading, time until all streams are open, and the share of one core. Prints a table and writes
`bench-results/watch.json`. Run by `make bench-watch`; `--servers` takes other numbers.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.watch_peers import HOSTS, Peers

from lazaret import migrations
from lazaret.kernel.database import Database
from lazaret.kernel.embedded_postgres import EmbeddedPostgres
from lazaret.servers.model import Server

HEARTBEAT_S, FULL_EVERY_S, WINDOW_S, ROUND_S = 10.0, 60.0, 60.0, 30.0
IDLE_S = 6.0
"""With an empty fleet: what it costs to watch nobody."""
COMPARED_AT = 1000
"""Servers while the peers have their turns; what a check costs them does not depend on the number."""
FARMS = 2
"""Processes that play the servers: one alone has no time left at 10,000, and then its servers look ill."""
MONITOR = Path(__file__).with_name("watch_monitor.py")
FARM = Path(__file__).with_name("watch_farm.py")
Child = subprocess.Popen[str]
BAR_CPU_MS, BAR_KB, BAR_CORE = 0.25, 60.0, 1 / 3


@asynccontextmanager
async def child(script: Path, *arguments: str) -> AsyncIterator[Child]:
    """A script of the benchmark; it ends when its standard input does."""
    process = subprocess.Popen(
        [sys.executable, str(script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.to_thread(process.wait, 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def line_of(process: Child) -> dict[str, Any]:
    """What it says next; a thread reads, for a line may take a while."""
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, "a part of the benchmark ended"
    return json.loads(line)  # type: ignore[no-any-return]


async def fill(conninfo: str, count: int, farms: list[dict[str, Any]]) -> None:
    """`count` servers that are set up, at addresses of 127.0.0.0/8, and played by the farms in turn."""
    now = datetime.now(UTC)
    async with Database(conninfo) as db, db.transaction() as session:
        for number in range(count):
            farm = farms[number % len(farms)]
            session.add(
                Server(
                    handle=f"vps-{number + 1}",
                    provider="bench",
                    provider_id=number + 1,
                    host=f"host-{number + 1}",
                    public_ip=address_of(number),
                    ssh_port=farm["port"],
                    is_managed=True,
                    status="ready",
                    status_since=now,
                    provisioned_at=now,
                    host_keys=[farm["host_key"]],
                    created_at=now,
                    updated_at=now,
                )
            )


def address_of(number: int) -> str:
    """One of 127.0.0.0/8, all of which are this machine."""
    return f"127.{1 + number // 62_500}.{number // 250 % 250}.{1 + number % 250}"


async def measure(count: int, *, rounds: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """One size; with `rounds`, then so often in turn against the peers: CPU milliseconds per check by name."""
    with tempfile.TemporaryDirectory(prefix="lazaret-bench-") as directory:
        Path(directory).chmod(0o755)
        postgres = EmbeddedPostgres(Path(directory) / "postgres")
        conninfo = await asyncio.to_thread(postgres.start)
        try:
            await migrations.upgrade(conninfo)
            async with AsyncExitStack() as stack:
                farms = [await line_of(await stack.enter_async_context(child(FARM))) for _ in range(FARMS)]
                begin = child(MONITOR, conninfo, directory, str(HEARTBEAT_S), str(FULL_EVERY_S))
                monitor = await stack.enter_async_context(begin)
                empty = await _stretch(monitor, IDLE_S)
                await fill(conninfo, count, farms)
                row = await _watch(monitor, count, empty["rss_kb"])
                return row, await _compare(monitor, rounds, Path(directory) / "ssh" / "access_key")
        finally:
            await asyncio.to_thread(postgres.wipe)


async def _compare(monitor: Child, rounds: int, key: Path) -> dict[str, list[float]]:
    """In turn: a stretch of watching, then checks by each peer, of a farm of their own that they may keep busy."""
    if not rounds:
        return {}
    async with child(FARM) as farm:
        place = await line_of(farm)
        return await _in_turn(monitor, rounds, Peers(int(place["port"]), key))


async def _in_turn(monitor: Child, rounds: int, peers: Peers) -> dict[str, list[float]]:
    hosts = [address_of(number) for number in range(HOSTS)]
    found: dict[str, list[float]] = {"lazaret": []}
    try:
        there = peers.there()
        for _ in range(rounds):
            row = await _stretch(monitor, ROUND_S)
            found["lazaret"].append(1000 * row["cpu_s"] / row["readings"])
            for name, check in there.items():
                cpu_s = await asyncio.to_thread(check, hosts)
                found.setdefault(name, []).append(1000 * cpu_s / len(hosts))
    finally:
        peers.close()
    return found


async def _stretch(monitor: Child, seconds: float) -> dict[str, float]:
    """What the monitor did in so many seconds from now on."""
    while (first := await line_of(monitor))["at"] < time.time() - 1.5:
        pass
    last = first
    while last["at"] - first["at"] < seconds:
        last = await line_of(monitor)
    return {name: last[name] - first[name] for name in ("at", "readings", "cpu_s")} | {
        name: last[name] for name in ("rss_kb", "lag_p99_ms")
    }


async def _watch(monitor: Child, count: int, empty_kb: float) -> dict[str, float]:
    while not (now := await line_of(monitor))["watched"]:
        pass
    begun = time.monotonic()
    while (now := await line_of(monitor))["streams"] < count:
        assert time.monotonic() - begun < 1200, f"only {now['streams']} of {count} streams after 20 minutes"
    opened_s = time.monotonic() - begun
    await asyncio.sleep(15)
    done = await _stretch(monitor, WINDOW_S)
    readings, cpu_s, window_s = done["readings"], done["cpu_s"], done["at"]
    return {
        "servers": count,
        "streams_open_after_s": opened_s,
        "readings": readings,
        "readings_wanted": count * window_s / HEARTBEAT_S,
        "cpu_ms_per_reading": 1000 * cpu_s / readings,
        "share_of_a_core": cpu_s / window_s,
        "kb_per_server": (done["rss_kb"] - empty_kb) / count,
        "rss_mb": done["rss_kb"] / 1024,
        "lag_p99_ms": done["lag_p99_ms"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument(
        "--rounds", type=int, default=3, help=f"against the peers, at {COMPARED_AT} or the first size; 0 for none"
    )
    given = parser.parse_args()
    counts = given.servers
    wanted = max(counts) + 2000  # in each process: one end of every connection
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        print(f"This needs {wanted} open files; the limit is {hard} (ulimit -Hn).", file=sys.stderr)
        return 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # while all connect at once there are more
    compared_at = COMPARED_AT if COMPARED_AT in counts else counts[0]
    rows: list[dict[str, float]] = []
    compared: dict[str, list[float]] = {}
    for count in counts:
        row, against = asyncio.run(measure(count, rounds=given.rounds if count == compared_at else 0))
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
        compared |= against
    print(f"{'servers':>8} {'ms/reading':>11} {'KB/server':>10} {'core':>6} {'lag p99':>9} {'open after':>11}")
    for row in rows:
        print(
            f"{row['servers']:>8.0f} {row['cpu_ms_per_reading']:>11.3f} {row['kb_per_server']:>10.1f} "
            f"{row['share_of_a_core']:>6.2f} {row['lag_p99_ms']:>6.0f} ms {row['streams_open_after_s']:>9.1f} s"
        )
    print(f"bars: {BAR_CPU_MS} ms and {BAR_KB:.0f} KB per server and reading, {BAR_CORE:.2f} of a core at 10,000")
    medians = {name: statistics.median(values) for name, values in compared.items()}
    for name, median in medians.items():
        ratio = f"{median / medians['lazaret']:.0f} times lazaret" if name != "lazaret" else "per reading"
        print(f"  {name:<30} {median:>8.3f} ms of CPU per check, {ratio}")
    path = Path("bench-results/watch.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"cores": os.cpu_count(), "rows": rows, "cpu_ms_per_check": compared}, indent=2) + "\n",
        encoding="utf-8",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
