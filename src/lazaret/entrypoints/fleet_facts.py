"""What the database knows, as metrics: read when they are asked for, by the API alone, so that nothing counts twice.

One short transaction for all of it, bounded in time, and its outcome kept for some seconds: any number of scrapers
costs the same. Every series exists at zero, also where there is no row.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from lazaret.alerting.model import Level
from lazaret.deployments.model import DeploymentStatus
from lazaret.entrypoints.office import Office
from lazaret.healing.budget import Limits
from lazaret.healing.remedy import Remedy
from lazaret.incidents.model import OPEN, IncidentType
from lazaret.kernel.database import Database
from lazaret.kernel.logging import get_logger
from lazaret.operations.model import LIVE, OperationKind
from lazaret.probing.share import ALIVE_S
from lazaret.probing.verdict import Phase
from lazaret.servers.call_budget import Rate
from lazaret.servers.status import ServerStatus

logger = get_logger(__name__)

FRESH_S = 5.0
"""What was read is shown again for so long."""
PATIENCE_S = 3.0
"""A database that takes longer is not waited for: a scrape must not pile up work."""
PARTS = ("api", "worker", "monitor", "bot")
_LEVELS = tuple(str(level) for level in Level)


@dataclass(frozen=True, slots=True)
class Fact:
    """One gauge. `sql` gives rows of its labels and a number; what gives no row is zero for all the words of `labels`.

    A label without words takes what the rows say; then nothing is zero by itself. `:now` is the present moment.
    """

    name: str
    help: str
    sql: str
    labels: Mapping[str, Sequence[str]]


def _words(kinds: object) -> tuple[str, ...]:
    return tuple(sorted(map(str, kinds)))  # type: ignore[call-overload]


FACTS = (
    Fact(
        "lazaret_servers",
        "Servers, by status. `reserved` are those that Lazaret may not touch.",
        "select status, count(*) from servers group by status",
        {"status": _words(ServerStatus)},
    ),
    Fact(
        "lazaret_servers_managed",
        "Servers that Lazaret may change.",
        "select count(*) from servers where is_managed",
        {},
    ),
    Fact(
        "lazaret_servers_watched",
        "Servers by what the monitors say of them.",
        "select phase, count(distinct server_handle) from server_health group by phase",
        {"phase": _words(Phase)},
    ),
    Fact(
        "lazaret_reading_age_seconds",
        "Age of the oldest newest reading among the servers that are well.",
        "select coalesce(extract(epoch from cast(:now as timestamptz) - min(read_at)), 0) from server_health"
        " where phase = 'well'",
        {},
    ),
    Fact(
        "lazaret_incidents_open",
        "Open incidents, by type and status. `failed`: a person must take over.",
        "select incident_type, status, count(*) from incidents where status <> 'resolved' group by 1, 2",
        {"type": _words(IncidentType), "status": _words(OPEN)},
    ),
    Fact(
        "lazaret_operations",
        "Operations that are not over, by kind and status. `waiting`: a person must act.",
        "select kind, status, count(*) from operations where status in ('queued', 'running', 'waiting') group by 1, 2",
        {"kind": _words(OperationKind), "status": _words(LIVE)},
    ),
    Fact(
        "lazaret_queue_depth",
        "Operations that are due and wait for a worker.",
        "select count(*) from operations where status = 'queued' and due_at <= :now",
        {},
    ),
    Fact(
        "lazaret_queue_age_seconds",
        "For how long the one that waits longest has been due.",
        "select coalesce(extract(epoch from cast(:now as timestamptz) - min(due_at)), 0) from operations"
        " where status = 'queued' and due_at <= :now",
        {},
    ),
    Fact(
        "lazaret_approvals_waiting",
        "Questions to the operators that nobody has answered.",
        "select count(*) from approvals where decision is null and expires_at > :now",
        {},
    ),
    Fact(
        "lazaret_outbox_owed",
        "Messages that an administrator is owed, by level. Those that wait for the morning are among them.",
        "select level, count(*) from ("
        " select level from outbox where sent_at is null and exists (select from users where role = 'admin')"
        " union all select d.level from deliveries d join users u on u.id = d.user_id"
        "  where d.state = 'owed' and u.unreachable_since is null) as owed group by level",
        {"level": _LEVELS},
    ),
    Fact(
        "lazaret_outbox_age_seconds",
        "For how long the oldest of them has been owed, by level.",
        "select level, extract(epoch from cast(:now as timestamptz) - min(at)) from ("
        " select level, created_at as at from outbox"
        "  where sent_at is null and exists (select from users where role = 'admin')"
        " union all select d.level, d.owed_at from deliveries d join users u on u.id = d.user_id"
        "  where d.state = 'owed' and u.unreachable_since is null) as owed group by level",
        {"level": _LEVELS},
    ),
    Fact(
        "lazaret_call_budget_left",
        "Calls that the provider account could make at once.",
        "select split_part(account, ':', 1), case when max(blocked_until) > :now then 0 else"
        " least(:burst, sum(tokens) + :per_s * extract(epoch from cast(:now as timestamptz) - max(refilled_at))) end"
        " from call_budgets group by 1",
        {"provider": ()},
    ),
    Fact(
        "lazaret_provider_throttled_seconds",
        "For how long the provider still wants no call of us.",
        "select split_part(account, ':', 1), greatest(0, coalesce(extract(epoch from max(blocked_until)"
        " - cast(:now as timestamptz)), 0)) from call_budgets group by 1",
        {"provider": ()},
    ),
    Fact(
        "lazaret_provider_list_age_seconds",
        "For how long the list of servers has not been read and believed.",
        "select provider, extract(epoch from cast(:now as timestamptz) - coalesce(last_success_at, last_attempt_at))"
        " from sync_state",
        {"provider": ()},
    ),
    Fact(
        "lazaret_provider_list_failures",
        "Readings of the list of servers that failed or were not believed, in a row.",
        "select provider, failures from sync_state",
        {"provider": ()},
    ),
    Fact(
        "lazaret_servers_without_budget",
        "Servers on which a remedy was used as often as is allowed within 24 hours.",
        "select remedy, count(*) from (select remedy, server_handle from remedies"
        " where begun_at > cast(:now as timestamptz) - interval '24 hours' group by remedy, server_handle"
        " having count(*) >= (cast(:limits as jsonb) ->> remedy)::int) as used group by remedy",
        {"remedy": _words(one for one in Remedy if one is not Remedy.HUMAN)},
    ),
    Fact(
        "lazaret_holds",
        "Holds in force, of the fleet and of single servers: nothing is done there.",
        "select case when server_handle is null then 'fleet' else 'server' end, count(*) from holds"
        " where lifted_at is null and (expires_at is null or expires_at > :now) group by 1",
        {"scope": ("fleet", "server")},
    ),
    Fact(
        "lazaret_maintenance_windows",
        "Maintenance windows in force.",
        "select count(*) from maintenance_windows where cancelled_at is null and starts_at <= :now and ends_at > :now",
        {},
    ),
    Fact(
        "lazaret_monitors",
        "Monitors that watch, and those of them that cannot see.",
        "select case when is_blind then 'blind' else 'seeing' end, count(*) from monitors"
        " where seen_at > :monitors_since group by 1",
        {"sight": ("seeing", "blind")},
    ),
    Fact(
        "lazaret_deployments",
        "Services on servers, by status.",
        "select status, count(*) from service_deployments group by status",
        {"status": _words(DeploymentStatus)},
    ),
    Fact(
        "lazaret_processes",
        "Processes that run a part of Lazaret, by part. `silent`: not heard of any more, and it did not say goodbye.",
        "select part, case when seen_at > :processes_since then 'alive' else 'silent' end, count(*)"
        " from processes, jsonb_array_elements_text(parts) as part where ended_at is null group by 1, 2",
        {"part": PARTS, "state": ("alive", "silent")},
    ),
    Fact("lazaret_database_bytes", "Size of the database.", "select pg_database_size(current_database())", {}),
)
READ = "lazaret_facts_read"
READ_HELP = "1 when what the database knows could be read for this scrape; 0: all that is told here of it is missing."


class FleetFacts:
    """Reads the facts for `/metrics`."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._exposition = b""

    async def exposition(self) -> bytes:
        """The facts in Prometheus' text format, at most some seconds old. Never raises for the database."""
        async with self._reading:
            now = self._office.clock.monotonic()
            if now - self._read_at >= FRESH_S:
                self._exposition = await self._read()
                self._read_at = now
        return self._exposition

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await read_facts(self._office.db, parameters(self._office))
        except Exception as error:  # noqa: BLE001 - the rest of the metrics must still be had
            logger.warning("facts.not_read", error=type(error).__name__)
            found = None
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Snapshot(found))
        return generate_latest(registry)


def parameters(office: Office) -> dict[str, Any]:
    """What the queries need to know besides the tables."""
    now, settings = office.clock.now(), office.settings
    rate = Rate.per_minute(settings.lazaret_provider_calls_per_minute)
    per_day = Limits(
        per_day={
            Remedy.REBOOT: settings.lazaret_reboots_per_day,
            Remedy.REINSTALL: settings.lazaret_reinstalls_per_day,
        }
    ).per_day
    return {
        "now": now,
        "burst": rate.burst,
        "per_s": rate.per_s,
        "limits": json.dumps({str(remedy): most for remedy, most in per_day.items() if most}),
        "monitors_since": now - timedelta(seconds=ALIVE_S),
        "processes_since": now - timedelta(seconds=settings.lazaret_silent_after),
    }


Rows = Sequence[tuple[Any, ...]]


async def read_facts(db: Database, values: Mapping[str, Any]) -> dict[str, Rows]:
    """The rows of every fact, by its name, as of one moment."""
    found: dict[str, Rows] = {}
    async with db.transaction() as session:
        await session.execute(text(f"set local statement_timeout = {int(PATIENCE_S * 1000)}"))
        for fact in FACTS:
            statement = text(fact.sql)
            needed = {name: values[name] for name in statement.compile().params}
            found[fact.name] = [tuple(row) for row in await session.execute(statement, needed)]
    return found


class _Snapshot(Collector):
    def __init__(self, found: Mapping[str, Rows] | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(READ, READ_HELP, value=float(self._found is not None))
        for fact in FACTS if self._found is not None else ():
            assert self._found is not None
            yield family_of(fact, self._found[fact.name])


def family_of(fact: Fact, rows: Rows) -> GaugeMetricFamily:
    """The gauge with these rows, and zero for every word that none of them holds. Pure."""
    values: dict[tuple[str, ...], float] = dict.fromkeys(product(*fact.labels.values()), 0.0)
    values.update({tuple(map(str, labels)): float(number) for *labels, number in rows})
    family = GaugeMetricFamily(fact.name, fact.help, labels=list(fact.labels))
    for labels, number in sorted(values.items()):
        family.add_metric(labels, number)
    return family
