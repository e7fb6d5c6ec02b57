"""What a simulated host prints for the stream of readings that a monitor asks for: a machine that is well, or is not.

What is wrong with it stands in `HostState.ailments`.
"""

import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lazaret.lab.simulated import SimulatedHost
    from lazaret.lab.simulated_commands import RemoteCall

STREAM = "exec /bin/sh -s --"


async def stream(host: "SimulatedHost", call: "RemoteCall") -> int:
    """Answers `exec /bin/sh -s -- HEARTBEAT FULL_EVERY`, with a line at once and then with every heartbeat."""
    words = call.command.split()
    heartbeat_s, full_every_s = float(words[4]), float(words[5])
    next_full = 0.0
    while True:
        now = host.clock.monotonic()
        is_full = now >= next_full
        if is_full:
            next_full = now + full_every_s
        call.write(reading_of(host, full=is_full) + "\n")
        await call.drain()
        await host.clock.sleep(heartbeat_s)


def reading_of(host: "SimulatedHost", *, full: bool) -> str:
    """One line, as the real script prints it."""
    state = host.state
    line: dict[str, object] = {
        "boot": state.boot_id,
        "up": round(host.clock.monotonic() - state.booted_at_s, 2),
        "load": 0.1,
        "mem": 2_000_000,
        "avail": 1_500_000,
        "now": time.time(),
    }
    if full:
        ailing = set(state.ailments)
        line["full"] = {
            "machine": state.machine_id,
            "disks": {"/": [99 if "disk_full" in ailing else 20, 5, 40_000]},
            "docker": {"running": "docker_down" not in ailing, "containers": _containers(host)},
            "firewall": "firewall_off" not in ailing,
            "failed": [],
            "reboot": False,
            "baseline": state.files.get("/etc/lazaret/baseline", "").strip(),
        }
    return json.dumps(line, separators=(",", ":"))


def _containers(host: "SimulatedHost") -> dict[str, str]:
    """The state of each container by its name."""
    return {
        name: "running" if service.runs else "exited"
        for service in host.state.services.values()
        for name in service.containers
    }
