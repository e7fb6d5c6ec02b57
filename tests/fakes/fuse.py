"""A worker that dies at a chosen moment: every boundary between the engine and the world ticks, and one tick kills."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.database import Database


class Crash(BaseException):
    """The process is gone: no handler of the product may catch this."""


class Fuse:
    """Blows at tick number `at` and stays blown: a dead worker does nothing more. None never blows."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.ticks: list[str] = []

    @property
    def blown(self) -> bool:
        return self.at is not None and len(self.ticks) > self.at

    def tick(self, label: str) -> None:
        """Raise `Crash` here when it is time, and ever after."""
        self.ticks.append(label)
        if self.blown:
            raise Crash(label)


class MortalDatabase(Database):
    """A database whose user may die right before a transaction begins or right after it was committed.

    It shares the connections of `database`: an engine for each death would compile every statement anew.
    """

    def __init__(self, database: Database, fuse: Fuse) -> None:
        self.__dict__.update(vars(database))
        self._fuse = fuse

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        self._fuse.tick("before a transaction")
        async with super().transaction() as session:
            yield session
        self._fuse.tick("after a transaction")


class MortalCheckpoints(AsyncPostgresSaver):
    """Checkpoints whose writer may die before or after each of them."""

    fuse = Fuse()

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        self.fuse.tick("before a checkpoint")
        result = await super().aput(*args, **kwargs)
        self.fuse.tick("after a checkpoint")
        return result

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        self.fuse.tick("before the writes of a node")
        await super().aput_writes(*args, **kwargs)
        self.fuse.tick("after the writes of a node")
