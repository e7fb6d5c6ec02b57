"""An operation that waits for a root password tells the administrators: once, and again for what they gave in vain."""

import pytest
from pydantic import SecretStr

from lazaret.operations.model import OperationStatus
from lazaret.operations.store import get_operation
from lazaret.servers.provider import Capability, ProviderLoginRefused
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_routes import assert_ready

RESET = Capability.RESET_PASSWORD


@pytest.fixture
def asking(engine: Engine) -> Engine:
    """The provider resets no password, and says so each time."""
    engine.provider.refuse(RESET, *(ProviderLoginRefused("It refuses the login.") for _ in range(400)))
    return engine


def questions(engine: Engine) -> list[tuple[object, ...]]:
    return engine.rows(
        "select level, server_handle, operation_id, data->>'because', data->>'hint' from outbox"
        " where text like '{handle} waits for its root password%%' order by id"
    )


async def waits(engine: Engine, operation_id: int) -> None:
    operation = await engine.drive(operation_id)
    assert (operation.status, operation.waiting_for) == (OperationStatus.WAITING, "root_password"), operation.error


async def looks_again(engine: Engine, operation_id: int, *, after_s: float = 301) -> None:
    engine.clock.advance(after_s)
    await engine.look_again()
    await waits(engine, operation_id)


async def test_administrators_are_told_once_what_is_wanted_and_how_to_give_it(asking: Engine) -> None:
    operation_id = await asking.provision()
    await waits(asking, operation_id)
    for _ in range(3):
        await looks_again(asking, operation_id)
    ((level, handle, told_of, because, hint),) = questions(asking)
    assert (level, handle, told_of) == ("critical", asking.handle, operation_id)
    assert "refused to reset the root password" in str(because)
    assert f"lazaret provision {asking.handle} --root-password-stdin" in str(hint)


async def test_who_gave_a_wrong_one_is_asked_anew_and_has_another_day(asking: Engine) -> None:
    operation_id = await asking.provision()
    await waits(asking, operation_id)
    await looks_again(asking, operation_id, after_s=23 * 3600)
    await asking.provision(root_password=SecretStr("a-wrong-password"))
    await waits(asking, operation_id)
    assert len(questions(asking)) == 2
    await looks_again(asking, operation_id, after_s=23 * 3600)
    assert len(questions(asking)) == 2
    await asking.provision(root_password=SecretStr(asking.machine.root_password))
    await asking.drive(operation_id)
    await assert_ready(asking, operation_id, asked=2)


async def test_what_the_provider_tells_and_the_server_refuses_again_and_again_is_one_question(engine: Engine) -> None:
    engine.machine.accepts_passwords = False
    operation_id = await engine.provision()
    await waits(engine, operation_id)
    for _ in range(3):
        await looks_again(engine, operation_id)
    ((*_, because, _),) = questions(engine)
    assert because == "The server refuses the root password."
    assert engine.provider.count(RESET) == 1


async def test_the_day_begins_with_the_question_and_not_with_the_operation(asking: Engine) -> None:
    """It may have been held back for longer than that before."""
    operation_id = await asking.provision()
    began = asking.clock.now()
    asking.clock.advance(25 * 3600)
    async with asking.db.transaction() as session:
        (await get_operation(session, operation_id)).started_at = began
    await waits(asking, operation_id)
    await looks_again(asking, operation_id, after_s=23 * 3600)
    asking.clock.advance(2 * 3600)
    await asking.look_again()
    operation = await asking.drive(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "password_not_given")


async def test_a_worker_that_dies_right_after_asking_asks_no_second_time(asking: Engine) -> None:
    operation_id = await asking.provision()
    died = 0
    while not questions(asking):
        died += 1
        await asking.crash(operation_id, died)
        async with asking.db.transaction() as session:
            (await get_operation(session, operation_id)).resumes = 0  # so many deaths are not what this is about
        assert died < 100, "nobody is ever asked"
    await waits(asking, operation_id)
    assert len(questions(asking)) == 1
