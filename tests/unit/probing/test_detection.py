"""How soon a server that loses its power is called lost: the real watcher and rules, in virtual time.

`make bench-detect` measures it over hundreds of servers, and false alarms over a week; here its bar is held, whatever
the machine does meanwhile.
"""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from lazaret.probing.rules import Rules
from lazaret.probing.watcher import Senses, WatchedServer, Watcher
from lazaret.servers.access import KeyLogin, SshEndpoint
from tests.bench.detect import Host, LoopClock, VirtualLoop, Wire, Witness

LOSSES = 100
"""Servers, each without power from another moment of a heartbeat on, behind a wire that loses 1 % of all packets."""


@pytest.mark.parametrize(("heartbeat_s", "full_every_s", "bar_s"), [(10, 60, 20), (1, 2, 12)])
def test_a_server_without_power_is_called_lost_in_time(heartbeat_s: float, full_every_s: float, bar_s: float) -> None:
    """The second as in the tests of recovery (`tests/healing_scene.py`), which know no virtual time."""

    async def found_after(number: int) -> float:
        host, witness = Host(Wire(0.01, random.Random(number))), Witness()
        senses = Senses(host, host, KeyLogin(Path("/nowhere")), LoopClock(), Rules(), heartbeat_s, full_every_s)  # type: ignore[arg-type]
        server = WatchedServer(f"vps-{number}", SshEndpoint("192.0.2.1", 22, "root"), ("k",))
        watching = asyncio.create_task(Watcher(server, senses, witness.report).run())
        await asyncio.sleep(100 + heartbeat_s * number / LOSSES)
        assert witness.before.value == "well"
        host.is_on, off_at = False, asyncio.get_running_loop().time()
        await asyncio.sleep(100)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        assert len(witness.lost_at) == 1, "lost, and that once"
        return witness.lost_at[0] - off_at

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*map(found_after, range(LOSSES)))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        found_s = runner.run(all_of_them())
    assert max(found_s) < bar_s, max(found_s)
