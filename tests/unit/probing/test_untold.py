"""A monitor that sees and cannot act says so: its loop fails, which the processes' watch tells. The same if it is
blind and nobody takes that."""

from types import SimpleNamespace

import pytest

from lazaret.kernel.clock import ManualClock
from lazaret.probing.fleet import AnchorState
from lazaret.probing.monitor import ANCHORS_FRESH_S, Monitor, VerdictsUntold
from lazaret.probing.rules import Rules
from lazaret.probing.verdict import Phase, Verdict, new_watch

WELL = Verdict(Phase.WELL, None, (), "It answers.", None)


class Listener:
    def __init__(self) -> None:
        self.broken = True
        self.sights: list[str] = []

    async def on_verdict(self, _: object, __: Verdict) -> None:
        if self.broken:
            raise ValueError("a row cannot be read")

    async def on_blind(self, because: str) -> None:
        if self.broken:
            raise ValueError("the table is away")
        self.sights.append(because)


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


class Scene:
    """A fleet of two whose streams are gone, and anchors that a test may bring back."""

    def __init__(self) -> None:
        self.listener, self.clock, self.state = Listener(), ManualClock(), AnchorState.UNREACHABLE
        senses = SimpleNamespace(clock=self.clock, vantage="main", rules=Rules())
        self.monitor = Monitor(None, senses, self.listener, anchors=self._anchors, expecting=None)  # type: ignore[arg-type]
        for handle in ("vps-1", "vps-2"):
            self.monitor.watchers[handle] = SimpleNamespace(streaming=False, watch=new_watch(self.clock.now(), Rules()))  # type: ignore[assignment]

    async def _anchors(self) -> AnchorState:
        return self.state

    async def looks(self) -> None:
        self.clock.advance(ANCHORS_FRESH_S + 1)
        self.monitor._punctuality.set(0)
        await self.monitor._look_around()


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.monitor._unwell.add("vps-1")
    return made


async def test_blindness_is_told_until_it_is_taken_and_then_once(scene: Scene) -> None:
    await scene.looks()
    assert scene.monitor.blind and scene.listener.sights == []
    with pytest.raises(VerdictsUntold, match="whether the monitor can see"):
        await scene.monitor._all_are_told()
    scene.listener.broken = False
    await scene.looks()
    await scene.looks()
    assert scene.listener.sights == [scene.monitor.blind]
    await scene.monitor._all_are_told()


async def test_that_it_sees_again_is_told_until_it_is_taken_although_all_are_well_by_then(scene: Scene) -> None:
    scene.listener.broken = False
    await scene.looks()
    scene.listener.broken, scene.state = True, AnchorState.REACHABLE
    await scene.looks()
    assert not scene.monitor.blind and len(scene.listener.sights) == 1
    scene.listener.broken = False
    scene.monitor._unwell.clear()
    await scene.looks()
    await scene.looks()
    assert scene.listener.sights[1:] == [""]


async def test_what_was_told_and_not_taken_may_have_been_written_so_that_its_end_is_told_too(scene: Scene) -> None:
    await scene.looks()
    scene.listener.broken, scene.state = False, AnchorState.REACHABLE
    await scene.looks()
    assert scene.listener.sights == [""]


async def test_a_verdict_is_not_lost_where_blindness_cannot_be_told(scene: Scene) -> None:
    lost = Verdict(Phase.LOST, None, (), "Fresh looks failed.", None)
    watcher = SimpleNamespace(
        server=SimpleNamespace(handle="vps-1"), watch=new_watch(scene.clock.now(), Rules()), streaming=False
    )
    assert not await scene.monitor._observed(watcher, lost, None), "held back, and the watcher goes on"  # type: ignore[arg-type]
