"""Node `zavhoz`, the quartermaster: allots a server by the admission rule. Hands out handles, never secrets."""

from typing import Any

from lazaret.agents.allotment import allot, can_be_cured, is_known_there
from lazaret.agents.errand import Errand
from lazaret.agents.state import OrchestratorState
from lazaret.deployments.admission import Wanted, why_not
from lazaret.deployments.requests import NotAdmitted
from lazaret.deployments.spec import ServiceSpec
from lazaret.deployments.store import present_service
from lazaret.servers.status import OPERATIONAL
from lazaret.servers.store import get_server


async def zavhoz(errand: Errand, state: OrchestratorState) -> dict[str, Any]:
    """Allots a server, and says whether it must be set up first; a service that runs keeps its server."""
    parts = errand.parts
    at = parts.clock.now()
    handle = state.get("server_handle") or state.get("server_to_provision") or None
    recovering = state.get("is_incident_recovery", False)
    async with parts.db.transaction() as session:
        if not state.get("service_name"):
            server = await get_server(session, handle or "")
            return {"server_handle": server.handle, "server_to_provision": server.handle}
        spec = ServiceSpec(**state["spec"])
        wanted = Wanted(state["service_name"], spec.memory_mb, spec.disk_mb, state.get("port"))
        known = await present_service(session, state["project_id"], wanted.service_name, handle=handle)
        candidates = await parts.harbour.candidates(session, known.server_handle if known else handle, at=at)
        if known is not None:
            there = is_known_there(candidates[0], wanted)
            if there.status in OPERATIONAL:
                return {"server_handle": there.handle, "server_to_provision": ""}
            if can_be_cured(there, Wanted(wanted.service_name, 0, 0), recovering=recovering):
                return {"server_handle": there.handle, "server_to_provision": there.handle}
            raise NotAdmitted(
                f"{wanted.service_name} lives on {there.handle}, which is {there.status}.",
                hint="Ask why, or ask for its recovery.",
            )
        found = allot(candidates, wanted, at=at, recovering=recovering)
    if found is None:
        raise NotAdmitted(why_not(candidates, wanted, at=at), hint="List the servers to see what there is.")
    return {"server_handle": found.handle, "server_to_provision": found.handle if found.needs_setup else ""}
