"""Setting up a host whose provider can do nothing: by our key, by what a person gives, by what the operator left."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from lazaret.operations.model import OperationStatus
from lazaret.provisioning.requests import CannotReinstall
from lazaret.servers.access import KeyLogin, PasswordLogin
from lazaret.servers.store import get_server
from tests.integration.engine.conftest import OPERATOR, OUR_KEY, Engine, places_with
from tests.integration.engine.test_routes import assert_ready

OLD_KEY = KeyLogin(Path("/nowhere/old"))


@pytest.fixture
async def host(engine: Engine) -> AsyncIterator[Engine]:
    """The engine's server as a host from a file."""
    engine.provider.name = "static"
    engine.provider.capabilities = frozenset()
    engine.provider.task_names = {}
    async with engine.db.transaction() as session:
        (await get_server(session, engine.handle)).provider = "static"
    engine.access.other_keys[OLD_KEY.private_key] = "ssh-ed25519 AAAAold"
    yield engine
    assert engine.provider.asked == [], "nothing is ever asked of a provider that cannot"


async def _waits(host: Engine, operation_id: int) -> str:
    operation = await host.drive(operation_id)
    assert (operation.status, operation.waiting_for) == (OperationStatus.WAITING, "root_password"), operation.error
    return operation.hint or ""


async def test_a_host_that_does_not_answer_is_no_question_of_its_password(host: Engine) -> None:
    host.machine.answers = False
    operation = await host.drive(await host.provision())
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "host_silent"), operation.hint
    host.machine.answers = True
    operation = await host.drive(await host.provision(root_password=SecretStr(host.machine.root_password)))
    await assert_ready(host, operation.id)


async def test_our_key_opens_it_already(host: Engine) -> None:
    host.machine.authorized_keys.add(OUR_KEY)
    operation = await host.drive(await host.provision())
    await assert_ready(host, operation.id)


async def test_a_person_is_asked_and_gives_the_password(host: Engine) -> None:
    hint = await _waits(host, await host.provision())
    assert "cannot reset the root password" in hint
    assert "--root-password-stdin" in hint and OUR_KEY in hint, "both cures, ready to be copied"
    given = await host.provision(root_password=SecretStr(host.machine.root_password))
    operation = await host.drive(given)
    await assert_ready(host, operation.id, asked=1)
    assert host.machine.passwords_seen[0] == host.machine.root_password
    events = host.rows("select message from operation_events where operation_id = %s", operation.id)
    assert any("trusted on first use, epoch 1" in str(message) for (message,) in events)


async def test_a_wrong_password_is_tried_once_and_a_person_is_asked_again(host: Engine) -> None:
    await _waits(host, await host.provision(root_password=SecretStr("wrong-password-of-root")))
    assert host.machine.passwords_seen == ["wrong-password-of-root"], "more tries might get us banned"
    assert await host.stored_passwords() == 0
    operation = await host.drive(await host.provision(root_password=SecretStr(host.machine.root_password)))
    await assert_ready(host, operation.id, asked=1)


async def test_somebody_puts_our_key_there_while_a_person_is_asked(host: Engine) -> None:
    operation_id = await host.provision()
    await _waits(host, operation_id)
    host.machine.authorized_keys.add(OUR_KEY)
    host.clock.advance(301)
    await host.look_again()
    operation = await host.drive(operation_id)
    await assert_ready(host, operation.id, asked=1)
    assert host.machine.passwords_seen == []


async def test_the_key_that_the_operator_left_opens_the_first_visit(host: Engine) -> None:
    host.machine.authorized_keys.add("ssh-ed25519 AAAAold")
    host.provider.first_logins[host.machine.server_id] = OLD_KEY
    operation = await host.drive(await host.provision())
    await assert_ready(host, operation.id)
    assert "ask" not in (operation.hint or "")


async def test_the_password_that_the_operator_left_is_used_and_never_stored(host: Engine) -> None:
    host.provider.first_logins[host.machine.server_id] = PasswordLogin(SecretStr(host.machine.root_password))
    operation = await host.drive(await host.provision())
    await assert_ready(host, operation.id)
    assert places_with(host.conninfo, [host.machine.root_password]) == set()
    assert host.rows("select count(*) from audit_log where action = 'secret.store'") == [(0,)]


async def test_a_login_that_is_refused_is_tried_once(host: Engine) -> None:
    host.provider.first_logins[host.machine.server_id] = PasswordLogin(SecretStr("planted-and-wrong"))
    operation_id = await host.provision()
    assert "refuses the login that was left" in await _waits(host, operation_id)
    host.clock.advance(301)
    await host.look_again()
    await _waits(host, operation_id)
    assert host.machine.passwords_seen == ["planted-and-wrong"]
    operation = await host.drive(await host.provision(root_password=SecretStr(host.machine.root_password)))
    await assert_ready(host, operation.id, asked=1)
    assert places_with(host.conninfo, ["planted-and-wrong", host.machine.root_password]) == set()


async def test_what_a_person_gives_goes_before_what_was_left(host: Engine) -> None:
    host.provider.first_logins[host.machine.server_id] = PasswordLogin(SecretStr("planted-and-wrong"))
    operation = await host.drive(await host.provision(root_password=SecretStr(host.machine.root_password)))
    await assert_ready(host, operation.id)
    assert "planted-and-wrong" not in host.machine.passwords_seen


async def test_pins_of_another_kind_of_key_are_no_change(host: Engine) -> None:
    """The host shows its best key when it is asked for any; the login then asks for the one that is pinned."""
    pinned = "ssh-rsa AAAArsa"
    best = host.machine.host_keys
    host.machine.host_keys = (*best, pinned)
    async with host.db.transaction() as session:
        (await get_server(session, host.handle)).host_keys = [pinned]
    operation = await host.drive(await host.provision(root_password=SecretStr(host.machine.root_password)))
    assert operation.status == OperationStatus.SUCCEEDED, operation.error
    assert (await host.server()).host_keys == [pinned]


async def test_another_host_key_than_the_pinned_one_gets_nothing(host: Engine) -> None:
    async with host.db.transaction() as session:
        (await get_server(session, host.handle)).host_keys = ["ssh-ed25519 AAAAanother"]
    operation = await host.drive(await host.provision(root_password=SecretStr(host.machine.root_password)))
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "host_key_changed")
    assert host.machine.passwords_seen == []


async def test_a_rebuild_is_refused_with_its_cure_and_keeping_the_system_works(host: Engine) -> None:
    with pytest.raises(CannotReinstall) as refused:
        await host.rebuild()
    assert "no such function" in refused.value.message and "--keep-os" in refused.value.hint
    assert host.rows("select count(*) from operations") == [(0,)], "nothing is recorded"
    host.machine.authorized_keys.add(OUR_KEY)
    operation = await host.drive(await host.rebuild(reinstall=False))
    await assert_ready(host, operation.id)
    assert host.configuration.runs, "set up from the start"


async def test_a_server_of_a_provider_that_is_not_set_up_here_is_left_alone(host: Engine) -> None:
    operation_id = await host.provision()
    async with host.db.transaction() as session:
        (await get_server(session, host.handle)).provider = "time4vps"
    operation = await host.drive(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "provider_not_configured")
    assert "not set up here" in (operation.error or "")
    assert OPERATOR and host.machine.passwords_seen == []
