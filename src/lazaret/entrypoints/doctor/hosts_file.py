"""The hosts of a file, and the places by which the monitor sees whether it is cut off itself."""

import os

from lazaret.entrypoints.doctor.finding import Finding, Patient, State
from lazaret.servers.access import KeyLogin


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
        return Finding(name, State.OK, ", ".join(settings.lazaret_anchors))
    if settings.has_provider or not settings.has_servers:
        return Finding(name, State.OK, "the provider's API")
    return Finding(
        name,
        State.MISSING,
        "there is no place by which the monitor sees whether it is cut off itself",
        "Set LAZARET_ANCHORS to some host:port outside your fleet.",
    )
