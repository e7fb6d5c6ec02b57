"""Every route through the provisioning graph, on fakes of the provider, of SSH and of Ansible."""

import pytest
from pydantic import SecretStr

from lazaret.deployments.redeploy import ServicesNotBack
from lazaret.healing.requests import hold, lift
from lazaret.kernel.errors import InvalidInput
from lazaret.operations.model import OperationStatus
from lazaret.provisioning.context import NoServices
from lazaret.servers.configuration import PlaybookResult, PlaybookTimeout
from lazaret.servers.provider import (
    Capability,
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
)
from lazaret.servers.status import ServerStatus
from lazaret.servers.store import get_server
from tests.integration.engine.conftest import BASELINE, OPERATOR, OUR_KEY, Engine

RESET, REINSTALL = Capability.RESET_PASSWORD, Capability.REINSTALL
TO_THE_KEY = ["reset_password", "wait_for_password", "wait_for_ssh", "pin_host_key", "install_access_key"]
TO_THE_END = ["converge", "verify", "redeploy_services", "mark_ready"]


async def assert_ready(engine: Engine, operation_id: int, *, attempt: int = 1, asked: int = 0) -> None:
    """Set up and proved, and people heard that, after `asked` questions for a root password."""
    operation = await engine.operation(operation_id)
    assert (operation.status, operation.attempt) == (OperationStatus.SUCCEEDED, attempt), operation.error
    server = await engine.server()
    assert server.status == ServerStatus.READY
    assert server.baseline_version == BASELINE
    assert server.host_keys == list(engine.machine.host_keys)
    assert server.provisioned_at is not None
    assert OUR_KEY in engine.machine.authorized_keys
    assert await engine.stored_passwords() == 0, "a root password is kept although key login is proved"
    told = engine.rows("select level, text, data from outbox where operation_id = %s order by id", operation_id)
    assert ["root password" in text for _, text, _ in told] == [True] * asked + [False]
    level, text, data = told[-1]
    assert (level, text.format(**data)) == ("info", f"Server {engine.handle} ({engine.machine.address}) is ready.")


async def test_new_server(engine: Engine) -> None:
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id)
    assert await engine.route(operation.id) == ["load_details", "try_access_key", *TO_THE_KEY, *TO_THE_END]
    assert engine.provider.journal == [(RESET, engine.machine.server_id)]
    assert operation.result == {"report": {"docker": "27"}, "changed": 3, "status": "ready"}


async def test_a_server_in_order_is_adopted(engine: Engine) -> None:
    engine.machine.authorized_keys.add(OUR_KEY)
    engine.machine.baseline, engine.machine.accepts_passwords = BASELINE, False
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id)
    assert await engine.route(operation.id) == [
        "load_details", "try_access_key", "verify", "redeploy_services", "mark_ready"
    ]  # fmt: skip
    assert (engine.provider.journal, engine.configuration.runs) == ([], [])


async def test_converge_is_run_on_request_where_the_baseline_holds(engine: Engine) -> None:
    engine.machine.authorized_keys.add(OUR_KEY)
    engine.machine.baseline, engine.machine.accepts_passwords = BASELINE, False
    operation = await engine.drive(await engine.provision(converge=True))
    await assert_ready(engine, operation.id)
    assert await engine.route(operation.id) == ["load_details", "try_access_key", *TO_THE_END]


async def test_an_older_baseline_is_converged_without_a_reset(engine: Engine) -> None:
    engine.machine.authorized_keys.add(OUR_KEY)
    engine.machine.baseline = "v6"
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id)
    assert engine.provider.journal == []
    assert len(engine.configuration.runs) == 1


async def test_a_baseline_that_does_not_hold_is_mended_in_the_same_attempt(engine: Engine) -> None:
    """It was adopted by its mark, but a look from outside says that it takes passwords."""
    engine.machine.authorized_keys.add(OUR_KEY)
    engine.machine.baseline = BASELINE
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id)
    assert await engine.route(operation.id) == ["load_details", "try_access_key", "verify", *TO_THE_END]


async def test_a_given_password_is_forgotten_when_our_key_works_already(engine: Engine) -> None:
    engine.machine.authorized_keys.add(OUR_KEY)
    operation = await engine.drive(await engine.provision(root_password=SecretStr("not-needed-at-all")))
    await assert_ready(engine, operation.id)


@pytest.mark.parametrize("tells", [True, False])
async def test_reinstall(engine: Engine, tells: bool) -> None:
    """With and without a password in the result of the reinstall."""
    first = await engine.drive(await engine.provision())
    old_keys = engine.machine.host_keys
    engine.provider.journal.clear()
    engine.provider.tells_password[REINSTALL] = tells
    operation = await engine.drive(await engine.rebuild(os_template="kvm-ubuntu-24.04"))
    await assert_ready(engine, operation.id)
    assert operation.id != first.id
    way = TO_THE_KEY[2:] if tells else TO_THE_KEY
    assert await engine.route(operation.id) == ["load_details", "reinstall", "wait_for_reinstall", *way, *TO_THE_END]
    assert [action for action, _ in engine.provider.journal] == [REINSTALL, *([] if tells else [RESET])]
    assert (engine.machine.os, engine.machine.installs) == ("kvm-ubuntu-24.04", 1)
    assert (await engine.server()).host_key_epoch == 2
    assert engine.machine.host_keys != old_keys


class TwoServices(NoServices):
    """Of which one cannot come back."""

    async def has_services(self, *_: object) -> bool:
        return True

    async def redeploy(self, *_: object) -> list[str]:
        raise ServicesNotBack("Not brought back: wiki: no such image", back=["web"], missing=["wiki"])


async def test_a_service_that_does_not_come_back_does_not_undo_the_rebuild(engine: Engine) -> None:
    engine.redeployer = TwoServices()
    operation = await engine.drive(await engine.rebuild())
    assert (operation.status, operation.attempt) == (OperationStatus.SUCCEEDED, 1), operation.error
    assert (operation.result["services_redeployed"], operation.result["services_missing"]) == (["web"], ["wiki"])
    assert (await engine.server()).status == "in_use"
    told = engine.rows("select text, data from outbox where operation_id = %s", operation.id)
    assert "Not back: wiki" in [text.format(**data) for text, data in told][-1]


async def test_rebuild_that_keeps_the_system(engine: Engine) -> None:
    await engine.drive(await engine.provision())
    operation = await engine.drive(await engine.rebuild(reinstall=False))
    await assert_ready(engine, operation.id)
    assert (engine.machine.installs, engine.provider.count(REINSTALL)) == (0, 0)
    assert len(engine.configuration.runs) == 2


@pytest.mark.parametrize(
    ("before", "after", "incidents"), [("ready", "ready", 0), ("in_use", "in_use", 0), ("error", "error", 1)]
)
async def test_reinstall_of_a_system_that_is_not_offered(
    engine: Engine, before: str, after: str, incidents: int
) -> None:
    """A slip of the finger takes no server out of service, and one that was in trouble is no better for it."""
    await engine.drive(await engine.provision())
    async with engine.db.transaction() as session:
        (await get_server(session, engine.handle)).status = before
    operation = await engine.drive(await engine.rebuild(os_template="windows-95"))
    assert (operation.status, operation.error_code) == ("failed", "nothing_to_install")
    assert "Ask again with one of: kvm-debian-12" in (operation.hint or "")
    assert engine.provider.count(REINSTALL) == 0
    assert await engine.route(operation.id) == []
    server = await engine.server()
    assert (server.status, server.host_key_epoch) == (after, 1)
    assert len(engine.rows("select 1 from incidents where status <> 'resolved'")) == incidents
    assert len(engine.rows("select 1 from outbox where operation_id = %s and level = 'error'", operation.id)) == 1


@pytest.mark.parametrize("before", ["ready", "in_use"])
async def test_a_rebuild_that_never_began_leaves_the_server_in_service(engine: Engine, before: str) -> None:
    await engine.drive(await engine.provision())
    async with engine.db.transaction() as session:
        (await get_server(session, engine.handle)).status = before
    engine.provider.reading = [ProviderUnavailable("Away.")] * 50
    operation = await engine.drive(await engine.rebuild())
    assert (operation.status, operation.attempt) == ("failed", operation.max_attempts)
    server = await engine.server()
    assert (server.status, engine.provider.count(REINSTALL)) == (before, 0)
    assert server.status_reason == f"operation {operation.id} failed before it began: Away."
    assert _open_incidents(engine) == [], "it would keep out of service who is lost for another reason and comes back"


def _open_incidents(engine: Engine) -> list[tuple[object, ...]]:
    return engine.rows("select incident_type from incidents where status <> 'resolved'")


@pytest.mark.parametrize(("before", "incidents"), [("ready", []), ("in_use", []), ("error", ["provisioning_failed"])])
async def test_a_set_up_that_never_began_is_told_and_takes_nobody_out_of_service(
    engine: Engine, before: str, incidents: list[str]
) -> None:
    await engine.drive(await engine.provision())
    async with engine.db.transaction() as session:
        (await get_server(session, engine.handle)).status = before
    engine.provider.reading = [ProviderUnavailable("Away.")] * 50
    operation = await engine.drive(await engine.provision())
    assert (operation.status, (await engine.server()).status) == ("failed", before)
    assert [kind for (kind,) in _open_incidents(engine)] == incidents
    assert engine.rows("select level from outbox where operation_id = %s", operation.id) == [("error",)]


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "\x1b[31mred"])
async def test_what_cannot_be_the_name_of_a_system_is_refused_at_once(engine: Engine, name: str) -> None:
    await engine.drive(await engine.provision())
    with pytest.raises(InvalidInput):
        await engine.rebuild(os_template=name)
    assert (await engine.server()).status == ServerStatus.READY


REFUSALS = [
    ProviderRefused("No."),
    ProviderLoginRefused("The provider refuses the login."),
    ProviderAddressNotAllowed("Not from here."),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
async def test_refused_reset_waits_for_a_password_by_hand(engine: Engine, refusal: Exception) -> None:
    engine.provider.refuse(RESET, refusal)  # type: ignore[arg-type]
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.waiting_for, operation.attempt) == ("waiting", "root_password", 1)
    assert f"lazaret provision {engine.handle} --root-password-stdin" in (operation.hint or "")
    assert await engine.provision(root_password=SecretStr(engine.machine.root_password)) == operation.id
    await engine.drive(operation.id)
    await assert_ready(engine, operation.id, asked=1)
    assert engine.provider.journal == []
    assert engine.machine.passwords_seen
    assert set(engine.machine.passwords_seen) == {engine.machine.root_password}


async def test_a_wrong_password_by_hand_is_asked_for_again(engine: Engine) -> None:
    engine.provider.refuse(RESET, *(ProviderLoginRefused("no") for _ in range(5)))
    operation = await engine.drive(await engine.provision())
    await engine.provision(root_password=SecretStr("a-wrong-password"))
    operation = await engine.drive(operation.id)
    assert (operation.status, operation.waiting_for) == ("waiting", "root_password")
    assert await engine.stored_passwords() == 0
    await engine.provision(root_password=SecretStr(engine.machine.root_password))
    await engine.drive(operation.id)
    await assert_ready(engine, operation.id, asked=2)


async def test_a_wait_looks_again_once_each_time_and_ends_after_a_day(engine: Engine) -> None:
    engine.provider.refuse(RESET, *(ProviderLoginRefused("no") for _ in range(400)))
    operation = await engine.drive(await engine.provision())
    for look in range(2, 6):
        engine.clock.advance(301)
        await engine.look_again()
        operation = await engine.operation(operation.id)
        assert (operation.status, operation.waiting_for, operation.waiting_until) == ("queued", None, None)
        operation = await engine.drive(operation.id)
        assert (operation.status, operation.attempt) == ("waiting", 1)
        assert len(engine.provider.asked) == look, "one look is one call: repeated bad logins may lock the account"
    engine.clock.advance(24 * 3600)
    await engine.look_again()
    operation = await engine.drive(operation.id)
    assert (operation.status, operation.error_code) == ("failed", "password_not_given")
    assert (await engine.server()).status == ServerStatus.ERROR


async def test_a_reset_without_a_password_in_its_result(engine: Engine) -> None:
    engine.provider.tells_password[RESET] = False
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.waiting_for) == ("waiting", "root_password")
    await engine.provision(root_password=SecretStr(engine.machine.root_password))
    await engine.drive(operation.id)
    await assert_ready(engine, operation.id, asked=1)
    assert engine.provider.count(RESET) == 1


async def test_a_reset_that_ends_late(engine: Engine) -> None:
    """The task takes longer than we wait; a person is asked, and the late end needs none."""
    engine.provider.hangs.add(RESET)
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.waiting_for) == ("waiting", "root_password")
    engine.provider.hangs.clear()
    engine.clock.advance(301)
    await engine.look_again()
    await engine.drive(operation.id)
    await assert_ready(engine, operation.id, asked=1)
    assert engine.provider.count(RESET) == 1


async def test_key_conflict_changes_nothing_and_needs_a_person(engine: Engine) -> None:
    engine.machine.conflict = "/root/.ssh/authorized_keys is owned by nobody"
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code) == ("failed", "key_conflict")
    assert operation.error == engine.machine.conflict
    assert engine.machine.authorized_keys == set()
    assert engine.configuration.runs == []
    assert engine.provider.count(RESET) == 1
    incidents = engine.rows("select incident_type, status, details->>'error_code' from incidents")
    assert incidents == [("provisioning_failed", "failed", "key_conflict")]
    engine.machine.conflict = ""
    again = await engine.drive(await engine.provision())
    assert again.status == "succeeded"
    assert engine.provider.count(RESET) == 1, "the stored password is still good"
    assert engine.rows("select status from incidents") == [("resolved",)]


@pytest.mark.parametrize("at", ["try_access_key", "pin_host_key"])
async def test_changed_host_key_is_a_security_incident(engine: Engine, at: str) -> None:
    """Somebody else answers at the address: no password and no key of ours is tried there."""
    await engine.drive(await engine.provision())
    engine.machine.passwords_seen.clear()
    engine.provider.journal.clear()
    if at == "pin_host_key":
        engine.machine.authorized_keys.clear()  # so that a reset is needed, and the other machine appears after it
        old_reset = engine.machine.reset_password

        def reset_and_replace() -> str:
            engine.machine.host_keys = ("ssh-ed25519 AAAAintruder",)
            return old_reset()

        engine.machine.reset_password = reset_and_replace  # type: ignore[method-assign]
    else:
        engine.machine.host_keys = ("ssh-ed25519 AAAAintruder",)
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code, operation.step) == ("failed", "host_key_changed", at)
    assert engine.machine.passwords_seen == []
    assert (await engine.server()).status == ServerStatus.ERROR
    assert engine.rows("select incident_type, status from incidents") == [("host_key_changed", "failed")]
    assert engine.rows("select level from outbox where operation_id = %s", operation.id) == [("critical",)]


async def test_our_own_reinstall_ends_the_incident_of_a_changed_host_key(engine: Engine) -> None:
    await engine.drive(await engine.provision())
    engine.machine.host_keys = ("ssh-ed25519 AAAAreinstalledbyhand",)
    await engine.drive(await engine.provision())
    operation = await engine.drive(await engine.rebuild())
    assert operation.status == "succeeded", operation.error
    assert engine.rows("select incident_type, status from incidents") == [("host_key_changed", "resolved")]


async def test_throttled_beyond_the_patience_of_all_attempts(engine: Engine) -> None:
    """The next attempt comes when the provider allows it, not when the backoff would."""
    engine.provider.refuse(RESET, ProviderThrottled("Slow down.", wait_s=60))
    engine.provider.reading.append(ProviderThrottled("Slow down.", wait_s=60))
    operation_id = await engine.provision()
    for attempt in (1, 2):
        operation = await engine.run_once(operation_id)
        assert (operation.status, operation.attempt) == ("queued", attempt)
        assert 60 <= (operation.due_at - engine.clock.now()).total_seconds() <= 90
        engine.clock.advance(91)
    await engine.drive(operation_id)
    await assert_ready(engine, operation_id, attempt=3)
    assert engine.rows("select round, state from provider_calls order by id") == [(1, "not_sent"), (2, "sent")]


async def test_busy_provider_is_waited_for(engine: Engine) -> None:
    engine.provider.run_task(engine.machine.server_id, Capability.REBOOT, begun_at=engine.clock.now())
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id)
    assert engine.provider.count(RESET) == 1


async def test_busy_answer_is_retried(engine: Engine) -> None:
    engine.provider.refuse(RESET, ProviderBusy("Another task runs."))
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id, attempt=2)
    assert engine.provider.count(RESET) == 1


async def test_the_intent_is_written_right_before_the_call(engine: Engine) -> None:
    """Somebody's own reset runs before ours: it must not pass for ours when our answer is lost."""
    begun = engine.clock.now()
    engine.provider.task_s = 200
    engine.provider.run_task(engine.machine.server_id, RESET, begun_at=begun)
    engine.provider.lose_answer(RESET, executed=False)
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id, attempt=2)
    assert engine.provider.count(RESET) == 1
    intended = engine.rows("select extract(epoch from intended_at)::int from provider_calls order by id")
    assert intended[0][0] - begun.timestamp() >= 200  # type: ignore[operator]


@pytest.mark.parametrize("action", [RESET, REINSTALL])
@pytest.mark.parametrize("executed", [True, False])
async def test_lost_answer(engine: Engine, action: Capability, executed: bool) -> None:
    """An answer that never came: the provider's own record decides, and nothing is done twice."""
    operation_id = await engine.provision()
    if action is REINSTALL:
        await engine.drive(operation_id)
        engine.provider.journal.clear()
        operation_id = await engine.rebuild()
    engine.provider.lose_answer(action, executed=executed)
    await engine.drive(operation_id)
    await assert_ready(engine, operation_id, attempt=2)
    assert [done for done, _ in engine.provider.journal] == [action]
    calls = engine.rows("select round, state from provider_calls where operation_id = %s order by id", operation_id)
    assert calls == ([(1, "sent")] if executed else [(1, "not_sent"), (2, "sent")])


async def test_a_lost_answer_is_given_time_to_arrive(engine: Engine) -> None:
    """The provider begins the task half a minute after it dropped the connection."""
    engine.provider.lose_answer(RESET, executed=False)
    operation_id = await engine.provision()
    await engine.run_once(operation_id)
    lost_at = engine.clock.now()
    await engine.drive(operation_id)
    await assert_ready(engine, operation_id, attempt=2)
    second = engine.rows("select extract(epoch from intended_at) from provider_calls where round = 2")
    assert float(second[0][0]) - lost_at.timestamp() >= 30  # type: ignore[arg-type]


@pytest.mark.parametrize("passwords_left", [1, 2])
async def test_verification_fails_then_works(engine: Engine, passwords_left: int) -> None:
    engine.configuration.leaves_passwords = [True] * passwords_left
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id, attempt=passwords_left + 1)
    assert len(engine.configuration.runs) == passwords_left + 1, "each attempt converges it again"


async def test_verification_fails_for_good(engine: Engine) -> None:
    engine.machine.open_ports.add(5432)
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code, operation.attempt) == ("failed", "verification_failed", 3)
    assert "open from outside: 5432" in (operation.error or "")
    assert (await engine.server()).status == ServerStatus.ERROR
    assert len(engine.configuration.runs) == 3


FAILED = PlaybookResult(False, changed=1, duration_s=3, failed_task="install packages", error="apt is locked")


async def test_converge_fails_twice_then_works(engine: Engine) -> None:
    engine.configuration.results = [FAILED, PlaybookTimeout("It took too long.")]
    operation = await engine.drive(await engine.provision())
    await assert_ready(engine, operation.id, attempt=3)
    assert engine.provider.count(RESET) == 1
    assert len(engine.configuration.runs) == 3


async def test_converge_fails_for_good(engine: Engine) -> None:
    engine.configuration.results = [FAILED] * 3
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code, operation.attempt) == ("failed", "converge_failed", 3)
    assert engine.rows("select status, details->>'attempts' from incidents") == [("failed", "3")]
    assert engine.rows("select count(*) from outbox where level = 'error'") == [(1,)]
    again = await engine.drive(await engine.provision())
    assert again.status == "succeeded"


async def test_preflight_failure_needs_a_person_at_once(engine: Engine) -> None:
    engine.configuration.results = [
        PlaybookResult(False, 0, 1.0, "preflight", "the disk is full", report={"preflight_failed": True})
    ]
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code, operation.attempt) == ("failed", "preflight_failed", 1)


async def test_provider_away_for_all_attempts(engine: Engine) -> None:
    engine.provider.reading += [ProviderUnavailable("No answer.") for _ in range(3)]
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code, operation.attempt) == ("failed", "provider_unavailable", 3)


async def test_host_that_never_answers_after_the_reset(engine: Engine) -> None:
    engine.machine.answers = False
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code, operation.step) == ("failed", "host_silent", "wait_for_ssh")
    assert engine.provider.count(RESET) == 1


async def test_a_silent_server_that_was_set_up_gets_no_new_password(engine: Engine) -> None:
    await engine.drive(await engine.provision())
    engine.machine.answers = False
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code) == ("failed", "host_silent")
    assert engine.provider.count(RESET) == 1


async def test_another_address_at_the_provider_is_not_touched(engine: Engine) -> None:
    engine.machine.address = "192.0.2.254"
    operation = await engine.drive(await engine.provision())
    assert (operation.status, operation.error_code) == ("failed", "touch_refused")
    assert engine.provider.asked == []


async def test_what_has_not_begun_does_not_begin_on_hold(engine: Engine) -> None:
    """A freeze after the wish, or a server that is found during one: it waits, and costs no attempt."""
    operation_id = await engine.provision()
    async with engine.db.transaction() as session:
        frozen = await hold(session, None, OPERATOR, at=engine.clock.now(), reason="restored")
    for _ in range(4):
        waiting = await engine.run_once(operation_id)
        assert (waiting.status, waiting.attempt, waiting.started_at) == ("queued", 0, None)
        assert waiting.due_at > engine.clock.now(), "it is looked at again"
        engine.clock.advance(10)
    assert engine.provider.asked == []
    async with engine.db.transaction() as session:
        await lift(session, frozen.id, OPERATOR, at=engine.clock.now())
    assert (await engine.drive(operation_id)).status == "succeeded"
