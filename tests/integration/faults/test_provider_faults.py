"""What the provider does wrong, and what must come of it: ready, or a person asked, and never a second call."""

import asyncio

import pytest
from pydantic import SecretStr

from lazaret.kernel.errors import Conflict
from lazaret.lab import switches
from lazaret.lab.calls import Call
from lazaret.operations.model import OperationStatus
from lazaret.servers.status import ServerStatus
from tests.integration.faults.conftest import OPERATOR, Installation

IN_VAIN_S = "6"
"""A reset that comes takes one second."""


def is_waited_for_in_vain(switch: switches.Switch) -> bool:
    """Whether the reset never ends, or never was and is not known not to have been: its time limit decides."""
    if isinstance(switch, switches.GatewayError | switches.Cut):
        return switch.call is Call.RESET_PASSWORD and not switch.executed
    return isinstance(switch, switches.TaskHangs)


async def assert_ready(installation: Installation, *, resets: int = 1) -> None:
    operation = await installation.until_ended()
    assert operation.status == OperationStatus.SUCCEEDED, f"{operation.step}: {operation.error}"
    assert (await installation.server()).status == ServerStatus.READY
    assert installation.accepted(Call.RESET_PASSWORD) == resets


@pytest.mark.parametrize(
    "switch",
    [
        pytest.param(switches.Throttle(call=Call.TASK, times=1, wait_s=2), id="throttled in the middle of a poll"),
        pytest.param(switches.Throttle(call=Call.RESET_PASSWORD, times=1, wait_s=1), id="reset throttled"),
        pytest.param(switches.GatewayError(call=Call.TASK, times=3, status=500), id="500 with HTML while polling"),
        pytest.param(switches.GatewayError(call=Call.RESET_PASSWORD, times=1), id="502, reset not executed"),
        pytest.param(switches.GatewayError(call=Call.RESET_PASSWORD, times=1, executed=True), id="502, reset executed"),
        pytest.param(switches.Cut(call=Call.TASK, times=3), id="connection cut while polling"),
        pytest.param(switches.Cut(call=Call.RESET_PASSWORD, times=1, executed=True), id="cut, reset executed"),
        pytest.param(switches.Cut(call=Call.RESET_PASSWORD, times=1), id="cut, reset not executed"),
        pytest.param(switches.AwkwardPassword(), id="password with quotes, <, & and spaces"),
        pytest.param(switches.PasswordText(form="plain"), id="plain password"),
        pytest.param(switches.PasswordText(form="multiline"), id="password in a log"),
        pytest.param(switches.Nulls(), id="nulls"),
        pytest.param(switches.IdsAsStrings(), id="ids as strings"),
        pytest.param(switches.SingleObject(), id="one object in place of a list"),
        pytest.param(switches.DateForm(), id="the other form of dates"),
        pytest.param(switches.PlaybookFails(task=3, times=2), id="the third task fails twice, then works"),
    ],
)
async def test_ready_all_the_same(installation: Installation, switch: switches.Switch) -> None:
    if is_waited_for_in_vain(switch):
        installation.environment["PASSWORD_RESET_TIMEOUT"] = IN_VAIN_S
    installation.lab.switches.set(switch)
    await installation.start_worker()
    await assert_ready(installation)


@pytest.mark.parametrize(
    ("switch", "code"),
    [
        (switches.WrongCredentials(), "provider_login_refused"),
        (switches.AddressNotAllowed(), "provider_address_not_allowed"),
    ],
)
async def test_refused_login_moves_nothing_and_says_so(
    installation: Installation, switch: switches.Switch, code: str
) -> None:
    installation.lab.switches.set(switch)
    await installation.start_worker()
    await installation.until_listed_again(1)
    state = await installation.sync_state()
    assert state is not None
    assert (state.error_code, state.last_success_at) == (code, None)
    installation.lab.switches.clear()
    await assert_ready(installation)


@pytest.mark.parametrize(
    "switch",
    [
        pytest.param(switches.PasswordText(form="missing"), id="result without a password"),
        pytest.param(switches.TaskHangs(call=Call.RESET_PASSWORD), id="task that never completes"),
        pytest.param(switches.TaskFails(call=Call.RESET_PASSWORD), id="task that fails"),
        pytest.param(switches.ErrorWith200(call=Call.RESET_PASSWORD), id="reset refused with status 200"),
    ],
)
async def test_a_person_gives_the_password(installation: Installation, switch: switches.Switch) -> None:
    if is_waited_for_in_vain(switch):
        installation.environment["PASSWORD_RESET_TIMEOUT"] = IN_VAIN_S
    installation.lab.switches.set(switch)
    await installation.start_worker()
    operation = await installation.until_operation(lambda one: one.status == OperationStatus.WAITING)
    assert operation.waiting_for == "root_password"
    assert operation.hint is not None and "--root-password-stdin" in operation.hint
    now = installation.office.clock.now()
    async with installation.office.db.transaction() as session:
        truth = SecretStr(installation.lab.cloud.servers()[0].root_password.get_secret_value())
        resumed = await installation.office.desk.provision(session, "vps-900001", OPERATOR, at=now, root_password=truth)
    assert resumed.id == operation.id
    ended = await installation.until_ended()
    assert ended.status == OperationStatus.SUCCEEDED, ended.error
    assert (await installation.server()).status == ServerStatus.READY
    assert installation.accepted(Call.RESET_PASSWORD) <= 1


async def test_host_silent_after_the_reset(installation: Installation) -> None:
    await installation.start_worker()
    await installation.until_step("wait_for_password")
    await installation.lab.cloud.power_off(900001)
    await installation.until_step("wait_for_ssh")
    await asyncio.sleep(2)
    await installation.lab.cloud.power_on(900001)
    await assert_ready(installation)


async def test_empty_list_moves_no_server(installation: Installation) -> None:
    await installation.start_worker()
    await assert_ready(installation)
    installation.lab.switches.set(switches.ShortList(keep=0))
    await installation.until("it is missed", lambda: is_present(installation, "unknown"))
    await installation.until_listed_again()
    server = await installation.server()
    assert (server.status, server.presence) == (ServerStatus.READY, "unknown")
    installation.lab.switches.clear()
    await installation.until("it is there again", lambda: is_present(installation, "known"))


async def is_present(installation: Installation, presence: str) -> bool:
    return (await installation.server()).presence == presence


async def test_repeated_failure_ends_in_error_with_an_incident(installation: Installation) -> None:
    installation.lab.switches.set(switches.PlaybookFails(task=2))
    await installation.start_worker()
    operation = await installation.until_ended()
    assert (operation.status, operation.attempt) == (OperationStatus.FAILED, 3)
    assert (await installation.server()).status == ServerStatus.ERROR
    async with installation.office.db.transaction() as session:
        from lazaret.incidents.store import list_incidents

        incidents, _ = await list_incidents(session)
    assert [one.incident_type for one in incidents] == ["provisioning_failed"]
    assert incidents[0].details["attempts"] == 3
    installation.lab.switches.clear()
    async with installation.office.db.transaction() as session:
        await installation.office.desk.provision(session, "vps-900001", OPERATOR, at=installation.office.clock.now())
    await assert_ready(installation)
    async with installation.office.db.transaction() as session:
        incidents, _ = await list_incidents(session)
    assert [one.status for one in incidents] == ["resolved"]


async def test_cancel_in_the_middle(installation: Installation) -> None:
    installation.lab.switches.set(switches.TaskHangs(call=Call.RESET_PASSWORD))
    await installation.start_worker()
    await installation.until_step("wait_for_password")
    operation = await installation.operation()
    async with installation.office.db.transaction() as session:
        await installation.office.intents.cancel(session, operation.id, OPERATOR, at=installation.office.clock.now())
    ended = await installation.until_ended()
    assert ended.status == OperationStatus.CANCELLED
    assert (await installation.server()).status == ServerStatus.ERROR
    with pytest.raises(Conflict):
        async with installation.office.db.transaction() as session:
            await installation.office.intents.cancel(
                session, operation.id, OPERATOR, at=installation.office.clock.now()
            )
