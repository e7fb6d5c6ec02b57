"""Open pages of the dashboard are told of every change, also of one that comes while they are told of another."""

import asyncio

import pytest

from lazaret.entrypoints.api.events import Bell
from lazaret.entrypoints.dashboard import live


async def test_no_change_is_slept_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "AT_MOST_EVERY_S", 0)
    bell = Bell()
    told = live._changes(bell)
    async with asyncio.timeout(live.AT_LEAST_EVERY_S / 2):
        assert "retry" in await anext(told)
        for _ in range(3):
            bell.ring()
            assert "changed" in await anext(told)
        bell.close()
        assert [one async for one in told] == []
