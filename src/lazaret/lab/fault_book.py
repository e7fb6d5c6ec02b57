"""Which faults are on, server by server: inflicted once, healed once, and forgotten when they are over by themselves.

Keeps its lines in `CloudServer.faults`, which the cloud persists. Holds no lock: the cloud does.
"""

from collections.abc import Callable, Mapping

from lazaret.kernel.errors import Conflict, NotFound
from lazaret.lab.faults import FAULTS, POWER_OFF, WIPED, fault_named, heal, holds, inflict, parse_parameters
from lazaret.lab.host import LabHost
from lazaret.lab.journal import Journal
from lazaret.lab.servers import ActiveFault, CloudServer, handle_of

_FIRST_HEALED = (POWER_OFF, "hang")
"""Nothing on the host can be put back before."""


class FaultBook:
    """The faults of one cloud. `save` persists a server."""

    def __init__(self, journal: Journal, save: Callable[[CloudServer], None]) -> None:
        self._journal = journal
        self._save = save

    async def inflict(
        self, server: CloudServer, host: LabHost, name: str, parameters: Mapping[str, object]
    ) -> ActiveFault:
        """Let it happen and write it down. Raises what `faults.inflict` does, and `Conflict` when it is on already."""
        parse_parameters(fault_named(name), parameters)
        _check_room_for(name, server, await self.present(server, host))
        fault = await inflict(host, name, **parameters)
        server.faults.append(fault)
        if name == POWER_OFF:
            server.is_powered = False
        self._save(server)
        self._journal.control("fault", server.server_id, note=str(fault))
        return fault

    async def heal(self, server: CloudServer, host: LabHost, name: str | None) -> list[str]:
        """End one, or all, the latest first. Returns the names."""
        if name is not None:
            fault_named(name)
        present = await self.present(server, host)
        chosen = [fault for fault in present if name in (None, fault.name)]
        if name is not None and not chosen:
            raise NotFound(f"{handle_of(server.server_id)} has no fault {name!r}.", hint=_what_it_has(present))
        for fault in sorted(reversed(chosen), key=lambda one: one.name not in _FIRST_HEALED):
            await heal(host, fault)
            if fault.name == POWER_OFF:
                server.is_powered = True
            self._forget(server, fault)
            self._journal.control("heal", server.server_id, note=fault.name)
        return [fault.name for fault in chosen]

    async def present(self, server: CloudServer, host: LabHost) -> list[ActiveFault]:
        """What is on by now; what ended without us is struck out, and the journal tells so."""
        for fault in list(server.faults):
            if not await holds(host, fault) and fault in server.faults:
                self._forget(server, fault)
                self._journal.effect("fault-over", server.server_id, "done", note=fault.name)
        return list(server.faults)

    def _forget(self, server: CloudServer, fault: ActiveFault) -> None:
        server.faults = [one for one in server.faults if one.name != fault.name]
        self._save(server)


def _check_room_for(name: str, server: CloudServer, present: list[ActiveFault]) -> None:
    handle = handle_of(server.server_id)
    if any(fault.name == name for fault in present):
        raise Conflict(f"{handle} has {name!r} already.", hint=f"End it with: lazaret lab heal {handle} {name}")
    if name == WIPED and present:
        raise Conflict(f"A wipe would mix up the other faults of {handle}.", hint=_what_it_has(present))


def _what_it_has(present: list[ActiveFault]) -> str:
    names = ", ".join(fault.name for fault in present) or "none"
    return f"It has {names}; there are {', '.join(FAULTS)}."
