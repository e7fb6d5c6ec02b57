"""The queue: procrastinate jobs on the same PostgreSQL. A job is only a wake-up; the tables are the truth.

One job kind, `run_operation(operation_id)`: `lock` is the server's handle, `queueing_lock` the operation's id, so a
server never has two at work and an operation never waits twice.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import procrastinate
from procrastinate import exceptions
from sqlalchemy.ext.asyncio import AsyncSession

from lazaret.kernel.database import driver_connection
from lazaret.operations.model import Operation

QUEUE_NAME = "operations"
DEAD_AFTER_S = 15.0
"""A worker that has not been heard of for so long is dead, and its operations are taken over."""

RunOperation = Callable[[int], Awaitable[None]]


class Queue:
    """Hands operations to workers. Enqueueing uses the caller's connection; working needs `open`."""

    def __init__(self, conninfo: str, run: RunOperation | None = None, *, dead_after_s: float = DEAD_AFTER_S) -> None:
        self._dead_after_s = dead_after_s
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=conninfo, min_size=1, max_size=6)
        )

        async def run_operation(operation_id: int) -> None:
            assert run is not None, "this process enqueues only"
            await run(operation_id)

        self._task = self._app.task(queue=QUEUE_NAME, name="lazaret.run_operation")(run_operation)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connections of its own, for `work` and `drop_jobs_of_dead_workers`."""
        async with self._app.open_async():
            yield

    async def enqueue(self, session: AsyncSession, operation: Operation) -> None:
        """Wake a worker for this operation when the caller's transaction commits; a second time changes nothing."""
        with contextlib.suppress(exceptions.AlreadyEnqueued):
            async with session.begin_nested():
                # Asked for inside: only then the savepoint exists to which a refused insert falls back.
                connection = await driver_connection(session)
                await self._task.configure(
                    lock=operation.server_handle,
                    queueing_lock=str(operation.id),
                    priority=operation.priority,
                    connection=connection,
                ).defer_async(operation_id=operation.id)

    async def work(self, *, concurrency: int) -> None:
        """Run jobs until cancelled, which hands running operations to the next worker. Needs an open queue."""
        await self._app.run_worker_async(
            queues=[QUEUE_NAME],
            concurrency=concurrency,
            install_signal_handlers=False,
            update_heartbeat_interval=self._dead_after_s / 3,
            stalled_worker_timeout=self._dead_after_s,
            shutdown_graceful_timeout=1,
            delete_jobs="always",
            fetch_job_polling_interval=1.0,
            listen_notify=True,
        )

    async def drop_jobs_of_dead_workers(self) -> None:
        """Delete the jobs that dead workers hold, which would block their servers. Needs an open queue.

        Nothing is lost: the tables say that their operations are due, and the next pass enqueues them.
        """
        jobs = await self._app.job_manager.get_stalled_jobs(
            queue=QUEUE_NAME, seconds_since_heartbeat=self._dead_after_s
        )
        for job in jobs:
            await self._app.job_manager.finish_job(job, status=procrastinate.jobs.Status.FAILED, delete_job=True)
