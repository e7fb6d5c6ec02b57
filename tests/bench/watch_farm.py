"""A farm for the benchmark of watching: one SSH server on all of 127.0.0.0/8, which plays any number of servers.

Prints its port and host key as JSON, then serves until its standard input ends.
"""

import asyncio
import json
import random
import sys
import time

import asyncssh

BOOT = "b0071d00-0000-4000-8000-000000000000"
FULL = {
    "machine": "m" * 32,
    "disks": {"/": [20, 5, 40_000], "/data": [40, 1, 90_000]},
    "docker": {"running": True, "containers": {f"app-{number}": "running" for number in range(5)}},
    "firewall": True,
    "failed": [],
    "reboot": False,
    "baseline": "0123456789ab",
}


class _Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return username != "root"


async def _process(process: asyncssh.SSHServerProcess[str]) -> None:
    words = (process.command or "").split()
    if len(words) < 6:
        process.exit(0)
        return
    heartbeat_s, full_every_s = float(words[4]), float(words[5])
    next_full = time.monotonic()
    try:
        while True:
            line: dict[str, object] = {"boot": BOOT, "up": time.monotonic(), "load": 0.1, "mem": 2_000_000}
            line |= {"avail": 1_500_000, "now": time.time()}
            if time.monotonic() >= next_full:
                line["full"] = FULL
                next_full += full_every_s
            process.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
            await asyncio.sleep(heartbeat_s * random.uniform(0.98, 1.02))
    except (asyncssh.Error, ConnectionError, BrokenPipeError):
        return


async def main() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "0.0.0.0",
        0,
        server_factory=_Server,
        server_host_keys=[key],
        process_factory=_process,
        backlog=4096,
        login_timeout=300,
    )
    public = " ".join(key.export_public_key().decode().split()[:2])
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "host_key": public}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
