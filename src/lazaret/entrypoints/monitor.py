"""`lazaret monitor`: watches the fleet and records what follows. May run several times; it changes no machine."""

import asyncio
from dataclasses import replace
from urllib.parse import urlsplit

from lazaret.adapters.ssh import AsyncSshAccess, SshReadingStreams
from lazaret.adapters.ssh.access_key import access_key_of
from lazaret.deployments.store import has_running
from lazaret.entrypoints.harbour import expectations_on, expected_on
from lazaret.entrypoints.office import Office
from lazaret.healing.responder import Responder
from lazaret.healing.second_look import SECOND_LOOK_S, look_again
from lazaret.kernel.loops import every, restarting
from lazaret.kernel.settings import Settings
from lazaret.probing.fleet import AnchorState
from lazaret.probing.monitor import Monitor
from lazaret.probing.rules import Rules
from lazaret.probing.watcher import Senses
from lazaret.servers.access import KeyLogin, PortState, RemoteAccess

ANCHOR_TIMEOUT_S = 3.0


async def run_monitor(office: Office) -> None:
    """Watch until cancelled."""
    senses = senses_of(office)
    rules = senses.rules

    async def anchors() -> AnchorState:
        return await look_at_anchors(senses.access, anchors_of(office.settings))

    responder = Responder(
        office.db, office.clock, office.intents, rules, has_services=has_running, expecting=expectations_on
    )
    monitor = Monitor(office.db, senses, responder, anchors=anchors, expecting=expected_on)

    async def second_look() -> None:
        await look_again(office.db, monitor, responder)

    async with asyncio.TaskGroup() as group:
        group.create_task(restarting("monitor", monitor.run, office.clock))
        group.create_task(every(SECOND_LOOK_S, "monitor.second_look", second_look, office.clock))


def rules_of(settings: Settings) -> Rules:
    """The thresholds, as configured."""
    return replace(Rules(), storm_quiet_s=settings.lazaret_storm_quiet, knock_s=settings.lazaret_knock_interval)


def senses_of(office: Office) -> Senses:
    """SSH with our key, and the configured rhythm."""
    settings = office.settings
    key = access_key_of(settings)
    login = KeyLogin(key.private_key)
    return Senses(
        access=AsyncSshAccess(),
        streams=SshReadingStreams(login, office.clock),
        login=login,
        clock=office.clock,
        rules=rules_of(settings),
        heartbeat_s=settings.heartbeat_interval,
        full_every_s=settings.health_check_interval,
        vantage=settings.lazaret_vantage,
    )


def anchors_of(settings: Settings) -> list[tuple[str, int]]:
    """The configured places outside the fleet, else the provider's API."""
    if settings.lazaret_anchors:
        return [
            (host.strip("[]"), int(port))
            for host, _, port in (anchor.rpartition(":") for anchor in settings.lazaret_anchors)
        ]
    if not settings.has_provider:
        return []
    address = urlsplit(settings.time4vps_base_url)
    return [(address.hostname or "", address.port or (80 if address.scheme == "http" else 443))]


async def look_at_anchors(access: RemoteAccess, places: list[tuple[str, int]]) -> AnchorState:
    """One answer, be it a refusal, is enough: the way there works."""
    if not places:
        return AnchorState.UNKNOWN
    states = await asyncio.gather(*(access.probe_port(host, port, timeout_s=ANCHOR_TIMEOUT_S) for host, port in places))
    answered = any(state is not PortState.SILENT for state in states)
    return AnchorState.REACHABLE if answered else AnchorState.UNREACHABLE
