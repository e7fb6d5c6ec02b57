"""Rules 4, 7, 8, 11 and 14 over made-up nights of the engine, on real PostgreSQL.

A night is a set-up or a rebuild with what may go wrong: workers that die between any two steps to the world, two
workers at once, answers that never come, refusals, playbooks that fail or leave their effects out, somebody's open
port. What must hold is looked at after every death and at the end.
"""

import asyncio
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from psycopg_pool import AsyncConnectionPool
from pydantic import SecretStr

from lazaret.kernel.clock import ManualClock
from lazaret.kernel.database import Database
from lazaret.operations.model import LIVE, OperationStatus
from lazaret.servers.configuration import PlaybookResult, PlaybookTimeout
from lazaret.servers.provider import (
    Capability,
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderError,
    ProviderLoginRefused,
    ProviderThrottled,
    ProviderUnavailable,
)
from lazaret.servers.status import ServerStatus
from tests.integration.engine.conftest import BASELINE, OUR_KEY, Engine, engine_of

RESET, REINSTALL = Capability.RESET_PASSWORD, Capability.REINSTALL
TICKS = 130
"""Of an undisturbed set-up there are about so many: a worker may die at each."""

NIGHTLY = settings.default.max_examples > 1000
PARTS = 4 if NIGHTLY else 1
"""How many tests share the nights, so that `nightly` can use every processor."""
NIGHTS_EACH = settings.default.max_examples // PARTS if NIGHTLY else 15
"""A night takes most of a second, so fewer are made up each time than of other histories; not so in `nightly`."""

ERRORS = st.sampled_from(
    [
        ProviderBusy("Another task runs."),
        ProviderThrottled("Slow down.", wait_s=60),
        ProviderLoginRefused("The provider refuses the login."),
        ProviderAddressNotAllowed("Not from here."),
        ProviderUnavailable("No answer."),
    ]
)
PLAYBOOKS = st.sampled_from(
    [
        PlaybookResult(False, changed=1, duration_s=3, failed_task="install packages", error="apt is locked"),
        PlaybookTimeout("It took too long."),
    ]
)


@dataclass(frozen=True)
class Night:
    """What goes wrong."""

    rebuild: bool
    deaths: list[int]
    two_workers: bool
    lost_answers: list[bool]
    """Of the destructive calls; whether each was executed."""
    refusals: list[ProviderError]
    unread: list[ProviderError]
    """What the next readings of the provider end in."""
    playbooks: list[PlaybookResult | Exception]
    leaves_passwords: list[bool]
    tells_password: bool
    open_port: bool


NIGHTS = st.builds(
    Night,
    rebuild=st.booleans(),
    deaths=st.lists(st.integers(0, TICKS), max_size=4),
    two_workers=st.booleans(),
    lost_answers=st.lists(st.booleans(), max_size=1),
    refusals=st.lists(ERRORS, max_size=1),
    unread=st.lists(ERRORS, max_size=1),
    playbooks=st.lists(PLAYBOOKS, max_size=1),
    leaves_passwords=st.lists(st.booleans(), max_size=2),
    tells_password=st.booleans(),
    open_port=st.sampled_from([False, False, False, True]),
)


@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=NIGHTS_EACH,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a night tells enough as it is, and shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(night=NIGHTS)
async def test_whatever_the_night_brings(
    conninfo: str, db: Database, manual_clock: ManualClock, checkpoints: AsyncConnectionPool, part: int, night: Night
) -> None:
    engine = await engine_of(conninfo, db, manual_clock, checkpoints)
    operation_id = await engine.provision()
    if night.rebuild:
        await engine.drive(operation_id)
        engine.provider.journal.clear()
        operation_id = await engine.rebuild()
    bring(engine, night)
    for tick in night.deaths:
        await engine.crash(operation_id, tick)
        await check_at_any_time(engine, operation_id)
    if night.two_workers:
        await asyncio.gather(engine.runner().run(operation_id), engine.runner().run(operation_id))
        await check_at_any_time(engine, operation_id)
    for _ in range(4):
        operation = await engine.drive(operation_id)
        await check_at_any_time(engine, operation_id)
        if operation.status != OperationStatus.WAITING:
            break
        await engine.provision(root_password=SecretStr(engine.machine.root_password))
    event(f"{operation.status} {operation.error_code or ''}")
    check_the_audit(engine, operation_id)


def bring(engine: Engine, night: Night) -> None:
    action = REINSTALL if night.rebuild else RESET
    for executed in night.lost_answers:
        engine.provider.lose_answer(action, executed=executed)
    engine.provider.refuse(action, *night.refusals)
    engine.provider.reading += night.unread
    engine.configuration.results += night.playbooks
    engine.configuration.leaves_passwords += night.leaves_passwords
    engine.provider.tells_password[action] = night.tells_password
    if night.open_port:
        engine.machine.open_ports.add(5432)
    engine.access.on_password = lambda password: stored_before_use(engine)


def stored_before_use(engine: Engine) -> None:
    """Rule 8: a password that a machine sees is in the table, encrypted, at that moment."""
    owner = f"server:{engine.handle}"
    assert engine.rows("select 1 from secrets where owner = %s and kind = 'root_password'", owner), "used unstored"


async def check_at_any_time(engine: Engine, operation_id: int) -> None:
    live = [status.value for status in LIVE]
    operations = engine.rows(
        "select id from operations where server_handle = %s and status = any(%s)", engine.handle, live
    )
    assert len(operations) <= 1, "rule 4: one live operation per server"
    for action in (RESET, REINSTALL):
        assert engine.provider.count(action) <= 1, f"rule 7: {action} was executed again"
    server, machine = await engine.server(), engine.machine
    if server.status == ServerStatus.READY:
        assert OUR_KEY in machine.authorized_keys, "rule 8: ready is the last write"
        assert server.host_keys == list(machine.host_keys)
    operation = await engine.operation(operation_id)
    if operation.status == OperationStatus.SUCCEEDED:
        assert (machine.baseline, machine.accepts_passwords) == (BASELINE, False), "rule 11: by effect"
        assert 5432 not in machine.open_ports, "rule 11: a port that must stay closed is open"
        assert await engine.stored_passwords() == 0, "rule 8: a root password is kept although key login is proved"
        assert server.status == ServerStatus.READY


def check_the_audit(engine: Engine, operation_id: int) -> None:
    """Rule 14: every executed call has its line, and the lines of the status are one chain that ends where it is."""
    for action, _ in engine.provider.journal:
        lines = engine.rows(
            "select 1 from audit_log where operation_id = %s and action = %s", operation_id, f"provider.{action.value}"
        )
        assert lines, f"{action} stands in no line"
    chain = engine.rows(
        "select details->>'before', details->>'after' from audit_log where subject = %s and action = 'server.status'"
        " order by id",
        f"server:{engine.handle}",
    )
    status = engine.rows("select status from servers where handle = %s", engine.handle)[0][0]
    links = [(None, ServerStatus.PENDING_SETUP), *chain, (status, None)]
    assert all(one[1] == other[0] for one, other in pairwise(links)), links
