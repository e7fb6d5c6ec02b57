"""One fresh look at a server with the eyes that opened the incident: is it over? Only reads."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from lazaret.healing.context import HealingContext
from lazaret.healing.diagnosis import looks_needed
from lazaret.probing.reading import Reading
from lazaret.probing.sighting import Means, Seen, Sighting, seen_by
from lazaret.probing.verdict import Condition, Expectations, Verdict, judge, new_watch, observe
from lazaret.servers.access import AccessError, ConnectionLost, HungUp, PortState, SshEndpoint

FIRST_READING_S = 20.0
"""A full reading asks Docker and the disks; on a machine that has just started this takes a while."""
KNOCK_S = 3.0
"""Nobody tries to log in where the port does not answer within this."""
LOOK_AGAIN_S = 5.0
"""Between two looks of which the first was not enough."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `conditions` is empty when all is well; `reading` is None when nobody could log in."""

    conditions: frozenset[Condition]
    detail: str
    reading: Reading | None = None
    hung_up: bool = False
    """Somebody is at home and took us not in, which says little."""

    @property
    def is_well(self) -> bool:
        return not self.conditions

    @property
    def can_log_in(self) -> bool:
        return self.reading is not None

    def is_over(self, condition: Condition) -> bool:
        """That condition is gone; other trouble that a login shows is another incident's."""
        return self.can_log_in and condition not in self.conditions


UNSEEN: dict[Seen, Condition] = {
    Seen.SILENT: Condition.SILENT,
    Seen.REFUSED: Condition.REFUSED,
    Seen.NO_BANNER: Condition.NO_BANNER,
    Seen.HUNG_UP: Condition.NO_BANNER,
    Seen.LOST: Condition.NO_BANNER,
    Seen.LOGIN_REFUSED: Condition.LOGIN_REFUSED,
    Seen.HOST_KEY_CHANGED: Condition.HOST_KEY_CHANGED,
}
"""What a failed login means by itself."""


async def look_until_sure(ctx: HealingContext, planned_for: Condition | None = None, first: Look | None = None) -> Look:
    """Look as often as `looks_needed` asks before a plan is left, or made. `first` is a look that was just taken."""
    seen, looks = first or await look(ctx), 1
    while looks < looks_needed(planned_for, seen.conditions, hung_up=seen.hung_up):
        await ctx.run.clock.sleep(LOOK_AGAIN_S * min(1.0, ctx.parts.patience))
        seen, looks = await look(ctx), looks + 1
    return seen


async def look(ctx: HealingContext) -> Look:
    """Log in anew and take one full reading."""
    snapshot = await ctx.steps.snapshot()
    port = await ctx.parts.provisioning.access.probe_port(
        snapshot.endpoint.address, snapshot.endpoint.port, timeout_s=KNOCK_S
    )
    if port is not PortState.OPEN:
        condition = Condition.SILENT if port is PortState.SILENT else Condition.REFUSED
        return Look(frozenset({condition}), f"port {snapshot.endpoint.port} is {port}")
    async with ctx.run.db.transaction() as session:
        expectations = await ctx.parts.expecting(session, ctx.run.handle)
    try:
        reading = await _read(ctx, snapshot.endpoint, snapshot.host_keys)
    except AccessError as error:
        return Look(frozenset({UNSEEN[seen_by(error)]}), error.message, hung_up=isinstance(error, HungUp))
    verdict = verdict_of(ctx, reading, expectations)
    conditions = frozenset(symptom.condition for symptom in verdict.symptoms)
    return Look(conditions, verdict.because if conditions else "it answers, and its reading is in order", reading)


async def _read(ctx: HealingContext, endpoint: SshEndpoint, host_keys: Sequence[str]) -> Reading:
    stream = ctx.parts.streams.open(
        endpoint, host_keys=host_keys, heartbeat_s=FIRST_READING_S, full_every_s=FIRST_READING_S, timeout_s=8
    )
    async with stream as readings:
        try:
            async with asyncio.timeout(FIRST_READING_S):
                return await anext(readings)
        except (TimeoutError, StopAsyncIteration):
            raise ConnectionLost(f"{endpoint.address} lets us in, but gives no reading.") from None


def verdict_of(ctx: HealingContext, reading: Reading, expectations: Expectations) -> Verdict:
    """What the monitor would say if it saw this reading for as long as it needs to be sure."""
    rules = ctx.parts.rules
    watch = new_watch(reading.at, rules)
    watch = observe(watch, Sighting(reading.at, Means.LOGIN, Seen.WELL), rules, expectations)
    for _ in range(rules.symptom_readings):
        watch = observe(watch, reading, rules, expectations)
    return judge(watch, reading.at, rules, expectations)
