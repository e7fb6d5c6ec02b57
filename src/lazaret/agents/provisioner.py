"""Node `provisioner`: has a server set up, or brought back, when a person says yes; waits until it is in order."""

from typing import Any

from lazaret.agents.errand import Errand, Waiting, waiting_for
from lazaret.agents.state import OrchestratorState
from lazaret.healing.model import Approval, Decision
from lazaret.healing.wishes import WishKind, wish_of
from lazaret.kernel.errors import Conflict, Forbidden
from lazaret.operations.model import Operation
from lazaret.operations.store import get_operation, live_operation
from lazaret.servers.status import OPERATIONAL
from lazaret.servers.store import get_server


class NotGranted(Forbidden):
    """A person said no, or nobody answered in time."""

    code = "not_granted"


class SetupFailed(Conflict):
    """The operation that was granted ended without a server in order."""

    code = "setup_failed"


async def provisioner(errand: Errand, state: OrchestratorState) -> dict[str, Any]:
    """Asks a person whether the server may be set up, and waits for it; what is under way is waited for as it is."""

    async def look() -> dict[str, Any] | Waiting:
        handle = state["server_to_provision"]
        async with errand.parts.db.transaction() as session:
            live = await live_operation(session, handle)
            if live is not None:
                return waiting_for(live)
            server = await get_server(session, handle)
            wish = await wish_of(session, errand.reference)
            asked = wish is not None and wish.decision == Decision.APPROVED
            if server.status in OPERATIONAL and (asked or state.get("service_name")):
                operation = await _operation_of(session, wish)
                result = dict(operation.result) if operation is not None else {}
                return {
                    "provisioning_result": {
                        "server_handle": handle,
                        "status": server.status,
                        "operation_id": operation.id if operation is not None else None,
                        "services_redeployed": result.get("services_redeployed", []),
                    }
                }
            if wish is None:
                kind = WishKind.RECOVER if state.get("is_incident_recovery") else WishKind.PROVISION
                wish = await errand.parts.wishes.ask(
                    session,
                    handle,
                    kind,
                    errand.actor,
                    at=errand.parts.clock.now(),
                    reason=state.get("reason") or f"for the service {state.get('service_name', '')}",
                    reference=errand.reference,
                )
            return await _answer_to(session, errand, wish)

    return await errand.wait(look)


async def _answer_to(session: Any, errand: Errand, wish: Approval) -> Waiting:
    """Still open, or the error that the answer comes to."""
    if wish.decision == Decision.APPROVED:
        operation = await _operation_of(session, wish)
        assert operation is not None
        raise SetupFailed(
            f"Operation {operation.id} is {operation.status}, and {wish.server_handle} is not in order: "
            f"{operation.error or 'no error was told'}",
            hint=operation.hint or "Ask why of the server.",
        )
    if wish.decision is not None or wish.expires_at <= errand.parts.clock.now():
        answer = wish.decision or Decision.EXPIRED
        raise NotGranted(
            f"The question {wish.id} whether {wish.server_handle} may be set up is {answer}"
            f"{f' by {wish.decided_by}' if wish.decided_by else ''}. {wish.note}".strip(),
            hint="Do not ask the same again without a new reason.",
        )
    return Waiting(
        f"A person must answer question {wish.id} until {wish.expires_at:%Y-%m-%d %H:%M} UTC: {wish.why}",
        "approval",
        wish.id,
    )


async def _operation_of(session: Any, wish: Approval | None) -> Operation | None:
    if wish is None or wish.operation_id is None:
        return None
    return await get_operation(session, wish.operation_id)
