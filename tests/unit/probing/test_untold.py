"""A monitor that sees and cannot act says so: its loop fails, which the processes' watch tells."""

from types import SimpleNamespace

import pytest

from lazaret.kernel.clock import ManualClock
from lazaret.probing.monitor import Monitor, VerdictsUntold
from lazaret.probing.verdict import Phase, Verdict

WELL = Verdict(Phase.WELL, None, (), "It answers.", None)


class Listener:
    def __init__(self) -> None:
        self.broken = True

    async def on_verdict(self, _: object, __: Verdict) -> None:
        if self.broken:
            raise ValueError("a row cannot be read")

    async def on_blind(self, because: str) -> None: ...


async def test_verdicts_that_lead_to_nothing_fail_the_loop_until_they_lead_to_something() -> None:
    listener, senses = Listener(), SimpleNamespace(clock=ManualClock(), vantage="main")
    monitor = Monitor(None, senses, listener, anchors=None, expecting=None)  # type: ignore[arg-type]
    watcher = SimpleNamespace(server=SimpleNamespace(handle="vps-1"))
    await monitor._all_are_told()
    assert not await monitor._observed(watcher, WELL, None)  # type: ignore[arg-type]
    with pytest.raises(VerdictsUntold, match="vps-1") as failed:
        await monitor._all_are_told()
    assert isinstance(failed.value.__cause__, ValueError)
    listener.broken = False
    assert await monitor._observed(watcher, WELL, None)  # type: ignore[arg-type]
    await monitor._all_are_told()
