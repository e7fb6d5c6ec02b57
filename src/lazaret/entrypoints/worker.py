"""`lazaret worker`: runs operations, reads the providers' lists, and re-enqueues what is due. May run several times."""

import asyncio
from datetime import timedelta

from lazaret.deployments.abandoned import fail_abandoned
from lazaret.entrypoints.monitor import rules_of
from lazaret.entrypoints.office import Office
from lazaret.entrypoints.retention import clear_away
from lazaret.entrypoints.workshop import Workshop, open_workshop
from lazaret.healing.trigger import Pursuit
from lazaret.healing.wishes import expire_wishes
from lazaret.kernel.leadership import try_lead
from lazaret.kernel.logging import get_logger
from lazaret.kernel.loops import every, restarting
from lazaret.operations.reconcile import enqueue_due

logger = get_logger(__name__)

RECONCILE_S = 1.0
PURSUE_S = 3.0
INVENTORY_PATIENCE_S = 600.0
"""A pass waits as long as the provider tells us to; that it does not answer is told by other means."""
CLEAR_AWAY_S = 3600.0


async def run_worker(office: Office) -> None:
    """Work until cancelled; running operations are handed back for another worker to go on with."""
    async with open_workshop(office) as workshop, asyncio.TaskGroup() as group:
        concurrency = office.settings.lazaret_worker_concurrency
        group.create_task(restarting("queue", lambda: workshop.queue.work(concurrency=concurrency), office.clock))
        group.create_task(every(RECONCILE_S, "reconcile", lambda: _reconcile(workshop), office.clock))
        group.create_task(every(PURSUE_S, "pursuit", lambda: _pursue(workshop), office.clock))
        group.create_task(every(CLEAR_AWAY_S, "retention", lambda: _clear_away(office), office.clock))
        if workshop.inventories:
            interval_s = office.settings.server_sync_interval
            patience_s = max(INVENTORY_PATIENCE_S, 5 * interval_s)
            sync = every(interval_s, "inventory", lambda: _sync(workshop), office.clock, patience_s=patience_s)
            group.create_task(sync)


async def _reconcile(workshop: Workshop) -> None:
    await enqueue_due(workshop.office.db, workshop.queue, workshop.office.clock)


async def _pursue(workshop: Workshop) -> None:
    """No open incident is forgotten; only one of several workers sees to it."""
    office = workshop.office
    async with try_lead(office.conninfo, "pursuit") as leading:
        if leading:
            await Pursuit(office.db, office.clock, office.intents, rules_of(office.settings)).pursue()
            async with office.db.transaction() as session:
                await expire_wishes(session, at=office.clock.now())
                await fail_abandoned(session, at=office.clock.now())


async def _clear_away(office: Office) -> None:
    """Only one of several workers does it."""
    async with try_lead(office.conninfo, "retention") as leading:
        if leading:
            await clear_away(office.db, keep=timedelta(days=office.settings.lazaret_keep_days), at=office.clock.now())


async def _sync(workshop: Workshop) -> None:
    """Only one of several workers reads the lists; no provider waits for another, or fails with it."""
    async with try_lead(workshop.office.conninfo, "inventory") as leading:
        if not leading:
            return
        ends = await asyncio.gather(*(one.sync() for one in workshop.inventories), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
