"""`why` and the commands that it names, while something is frozen: what it says to type does what it says."""

from lazaret.entrypoints.office import Office
from lazaret.healing import requests
from lazaret.healing.why import Why, why
from lazaret.incidents.model import IncidentStatus, IncidentType
from lazaret.incidents.store import change_incident, open_incident
from lazaret.kernel import audit
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.integration.rows import add_server

TESTER = audit.Actor("tester", audit.Channel.CLI)


async def lose(office: Office, handle: str) -> int:
    """A server that is lost; returns its incident."""
    now = office.clock.now()
    async with office.db.transaction() as session:
        await add_server(session, handle, at=now, status=ServerStatus.ERROR)
        incident, _ = await open_incident(session, handle, IncidentType.SERVER_UNREACHABLE, audit.MONITOR, at=now)
        return incident.id


async def freeze(office: Office, handle: str | None) -> int:
    async with office.db.transaction() as session:
        return (await requests.hold(session, handle, TESTER, at=office.clock.now(), reason="being moved")).id


async def unfreeze(office: Office, handle: str | None) -> tuple[list[int], list[int]]:
    async with office.db.transaction() as session:
        ended, left = await requests.unfreeze(session, handle, TESTER, at=office.clock.now())
        return [hold.id for hold in ended], [hold.id for hold in left]


async def asked(office: Office, handle: str) -> Why:
    async with office.db.transaction() as session:
        return await why(session, handle, at=office.clock.now())


async def test_what_a_hold_keeps_back_is_said_to_begin_when_it_ends(office: Office) -> None:
    incident_id = await lose(office, "vps-1")
    await freeze(office, "vps-1")
    await freeze(office, None)
    said = await asked(office, "vps-1")
    assert said.next == [
        "its recovery begins by itself when it is not frozen any more: lazaret unfreeze; lazaret unfreeze vps-1"
    ]
    await unfreeze(office, "vps-1")
    await unfreeze(office, None)
    assert (await asked(office, "vps-1")).next == ["its recovery begins by itself as soon as nothing holds it back"]
    async with office.db.transaction() as session:
        await change_incident(session, incident_id, IncidentStatus.FAILED, TESTER, at=office.clock.now())
    assert (await asked(office, "vps-1")).next == [
        f"nothing by itself: a person must act. Try again: lazaret incidents recover {incident_id}"
    ]


async def test_what_else_is_frozen_is_not_kept_quiet(office: Office) -> None:
    for handle in ("vps-1", "vps-2"):
        await lose(office, handle)
    server, fleet = await freeze(office, "vps-1"), await freeze(office, None)
    assert await unfreeze(office, "vps-2") == ([], [fleet])
    assert await unfreeze(office, "vps-1") == ([server], [fleet])
    server = await freeze(office, "vps-1")
    assert await unfreeze(office, None) == ([fleet], [server])
    assert await unfreeze(office, None) == ([], [server])
    assert await unfreeze(office, "vps-1") == ([server], [])


async def test_why_a_set_up_failed_that_left_the_server_in_service_is_said(office: Office) -> None:
    """No incident tells of it, for nothing is wrong with the server."""
    now = office.clock.now()
    async with office.db.transaction() as session:
        await add_server(session, "vps-1", at=now)
        made = await office.desk.provision(session, "vps-1", TESTER, at=now)
        made.status, made.error, made.hint = OperationStatus.FAILED.value, "The provider refuses the login.", "Mend it."
    assert (await asked(office, "vps-1")).decided == [
        "operation 1 (provision, asked for by cli:tester) failed: The provider refuses the login. Mend it."
    ]
