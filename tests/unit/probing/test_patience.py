"""A limit that signs of life push on."""

import asyncio

import pytest

from lazaret.probing.patience import Patience


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when there is nothing to do, and stands still otherwise."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now_s = max(self.now_s, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def lasts(signs_s: list[float], *, limit_s: float = 10, rest_s: float = 0) -> float:
    """How long a block lasts that hears signs after these pauses, works `rest_s` on each, and then nothing more."""

    async def listen() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(TimeoutError):
            async with Patience(limit_s) as patience:
                for pause_s in signs_s:
                    await asyncio.sleep(pause_s)
                    patience.rest()
                    await asyncio.sleep(rest_s)
                    patience.sign()
                await asyncio.sleep(1000)
        return loop.time() - begun

    with asyncio.Runner(loop_factory=Jumping) as runner:
        return runner.run(listen())


def test_silence_from_the_start_ends_it_at_the_limit() -> None:
    assert lasts([]) == pytest.approx(10, abs=0.1)


def test_it_ends_one_limit_after_the_last_sign() -> None:
    assert lasts([9, 9, 9, 1]) == pytest.approx(38, abs=0.1)


def test_our_own_work_is_not_its_silence() -> None:
    assert lasts([1], rest_s=60) == pytest.approx(71, abs=10.1)


def test_a_block_that_ends_in_time_leaves_no_timer() -> None:
    async def listen() -> int:
        async with Patience(10) as patience:
            patience.sign()
        return len([handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()])  # type: ignore[attr-defined]

    assert asyncio.run(listen()) == 0


def test_when_we_had_no_time_to_listen_it_is_not_called_silence() -> None:
    """From 9 s to 12 s the loop is busy; what was said meanwhile is heard a moment later."""

    async def listen() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()

        def busy() -> None:
            loop.now_s += 3.0  # type: ignore[attr-defined]
            loop.call_later(0.2, patience.sign)

        with pytest.raises(TimeoutError):
            async with Patience(10) as patience:
                loop.call_later(9, busy)
                await asyncio.sleep(1000)
        return loop.time() - begun

    with asyncio.Runner(loop_factory=Jumping) as runner:
        assert runner.run(listen()) == pytest.approx(22.2, abs=0.5)


def test_each_of_many_has_its_own_limit() -> None:
    async def lasting(until_s: float) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(TimeoutError):
            async with Patience(10) as patience:
                while loop.time() - begun < until_s:
                    await asyncio.sleep(1)
                    patience.sign()
                await asyncio.sleep(1000)
        return loop.time() - begun

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(lasting(number) for number in range(20)))

    with asyncio.Runner(loop_factory=Jumping) as runner:
        assert runner.run(all_of_them()) == pytest.approx([10.0 + number for number in range(20)], abs=0.5)
