"""A farm for the benchmark of watching: one SSH server on all of 127.0.0.0/8, which plays any number of servers.

Prints its port and host key as JSON, then serves until its standard input ends.
"""

import asyncio
import gc
import json
import random
import sys
import time
from typing import Any

import asyncssh
from asyncssh.connection import SSHServerConnection
from asyncssh.constants import MSG_IGNORE

PIPE = asyncio.subprocess.PIPE
STREAM = "exec /bin/sh -s --"
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
    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "root" and key is not None


class _LikeOpenSsh(SSHServerConnection):
    """asyncssh's server puts an empty packet before each one that it sends; OpenSSH's does not."""

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)


asyncssh.connection.SSHServerConnection = _LikeOpenSsh  # type: ignore[misc]


async def _really(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """What the peers ask for is run on this machine; whoever is here plays root of all servers."""
    made = await asyncio.create_subprocess_shell(
        process.command or "true", stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert made.stdin is not None and made.stdout is not None
    feeding = asyncio.create_task(_feed(process, made.stdin))
    process.stdout.write(await made.stdout.read())
    feeding.cancel()
    process.exit(await made.wait())


async def _feed(process: asyncssh.SSHServerProcess[bytes], to: asyncio.StreamWriter) -> None:
    """Ansible sends its module this way; others send nothing, not even an end."""
    while chunk := await process.stdin.read(65_536):
        to.write(chunk)
        await to.drain()
    to.close()


async def _process(process: asyncssh.SSHServerProcess[bytes]) -> None:
    words = (process.command or "").split()
    if not (process.command or "").startswith(STREAM):
        await _really(process)
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
            process.stdout.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
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
        encoding=None,
        backlog=4096,
        login_timeout=300,
    )
    public = " ".join(key.export_public_key().decode().split()[:2])
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "host_key": public}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 20)  # else thousands of living connections are searched through for dead ones
    asyncio.run(main())
