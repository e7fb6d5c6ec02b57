"""The hosts of a file, and the places by which the monitor sees whether it is cut off itself."""

import asyncio
import os

from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.servers.access import KeyLogin, PortState


async def check_hosts_file(name: str, patient: Patient) -> Finding:
    """Understood, written by its owner alone, and with every file that it names. Raises `HostsFileUnreadable`."""
    if patient.settings.lazaret_static_hosts_file is None:
        return Finding(name, State.OK, "none: not used")
    from lazaret.adapters.static import HostsFile, StaticProvider  # noqa: PLC0415

    file = HostsFile(patient.settings.lazaret_static_hosts_file)
    hosts = file.hosts()
    if file.path.stat().st_mode & 0o022:
        what = f"others may write {file.path}, and so decide what is changed"
        return Finding(name, State.BROKEN, what, f"chmod go-w {file.path}")
    provider = StaticProvider(file)
    for host in hosts:
        login = await provider.first_login(host.id)
        if isinstance(login, KeyLogin) and not os.access(login.private_key, os.R_OK):
            what = f"host-{host.id}: {login.private_key} cannot be read"
            return Finding(name, State.BROKEN, what, "Mend private_key, or drop it.")
    managed = sum(host.managed for host in hosts)
    what = f"{len(hosts)} hosts, {managed} managed"
    if not managed:
        return Finding(name, State.MISSING, what, "Write `managed: true` at the hosts that Lazaret may change.")
    trusting = sum(host.managed and not host.host_keys for host in hosts)
    if trusting:
        what = f"{what}, {trusting} of these trusted on first use: pin them by host_keys"
    return Finding(name, State.OK, what)


async def check_anchors(name: str, patient: Patient) -> Finding:
    """Without a place outside the fleet the monitor cannot tell its own blindness from the loss of all."""
    settings = patient.settings
    if settings.lazaret_anchors:
        return await _tried(name, patient)
    if settings.has_provider:
        return Finding(name, State.OK, "the provider's API")
    if not settings.has_servers:
        return Finding(name, State.OK, "none needed: there is no server to watch")
    return Finding(
        name,
        State.MISSING,
        "there is no place by which the monitor sees whether it is cut off itself",
        "Set LAZARET_ANCHORS to some host:port outside your fleet.",
    )


async def _tried(name: str, patient: Patient) -> Finding:
    """Knock at each, all at once. A refusal is an answer too: the way there works."""
    from lazaret.entrypoints.monitor import anchors_of  # noqa: PLC0415 - heavy

    anchors = patient.settings.lazaret_anchors
    states = await asyncio.gather(*(patient.knock(host, port) for host, port in anchors_of(patient.settings)))
    answered = [anchor for anchor, state in zip(anchors, states, strict=True) if state is not PortState.SILENT]
    silent = [anchor for anchor in anchors if anchor not in answered]
    cure = "Set LAZARET_ANCHORS to places outside your fleet that answer from here."
    if not answered:
        what = f"no answer from {' or '.join(silent)}: when many servers are lost, the monitor takes itself for blind"
        return Finding(name, State.BROKEN, what, cure)
    what = f"{', '.join(answered)} {'answers' if len(answered) == 1 else 'answer'}"
    if silent:
        return Finding(name, State.MISSING, f"{what}; no answer from {' or '.join(silent)}", cure)
    return Finding(name, State.OK, what)
