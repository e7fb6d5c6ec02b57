"""Deployments in a worker's hands, on real tables: a playbook that says what a test wants, a list that may change."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lazaret.deployments import store
from lazaret.deployments.model import ReleaseOutcome, ServiceDeployment
from lazaret.deployments.playing import DeployParts
from lazaret.deployments.redeploy import Redeployer
from lazaret.deployments.requests import Order
from lazaret.deployments.spec import ServiceSpec
from lazaret.deployments.workflow import DeployWorkflow
from lazaret.entrypoints.harbour import harbour_of
from lazaret.entrypoints.office import Office
from lazaret.healing.requests import hold, lift
from lazaret.kernel import audit
from lazaret.kernel.clock import ManualClock
from lazaret.operations.model import Operation, OperationKind, OperationStatus
from lazaret.operations.outcome import HELD_BACK
from lazaret.operations.queue import Queue
from lazaret.operations.reconcile import enqueue_due
from lazaret.operations.run import OperationRun
from lazaret.operations.runner import HELD_S, Runner
from lazaret.operations.store import get_operation
from lazaret.servers.access import SshEndpoint
from lazaret.servers.configuration import PlaybookResult
from lazaret.servers.guard import TouchRefused
from lazaret.servers.permissions import Permissions
from lazaret.servers.status import Party, StatusEvent
from lazaret.servers.store import change_status, get_server
from tests.fakes.access import FakeAccess
from tests.fakes.configuration import FakeConfiguration
from tests.integration.rows import add_server, measured

PERSON = audit.Actor("tester", audit.Channel.CLI)
ONE = "vps-1"
GOOD = PlaybookResult(True, 1, 1.0)
AWAY = PlaybookResult(False, 0, 1.0, unreachable=True, error="no route to host")
BAD = PlaybookResult(False, 1, 1.0, error="web is not healthy after 60 s")


class Playbooks(FakeConfiguration):
    """The next of `results`, else all is well; `meanwhile` happens during a run."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], Awaitable[None] | None] = lambda: None

    @property
    def played(self) -> list[str]:
        return [variables["service_state"] for variables in self.runs]

    async def run(self, playbook: str, endpoint: SshEndpoint, **how: Any) -> PlaybookResult:
        if (happening := self.meanwhile()) is not None:
            await happening
        self.results = self.results or [GOOD]
        return await super().run(playbook, endpoint, **how)


class Quay:
    """One server that takes services, and the worker who brings them."""

    def __init__(self, office: Office) -> None:
        self.office, self.clock, self.playbooks = office, ManualClock(), Playbooks()
        self.managed = {900001}
        parts = DeployParts(
            self.playbooks,
            FakeAccess(our_key="ours"),
            office.secrets,
            Path("/nowhere/key"),
            office.redactor,
            Permissions({"time4vps": lambda: self.managed}),
        )
        self.workflow = DeployWorkflow(parts)
        self.runner = Runner(office.db, self.clock, office.redactor, {OperationKind.DEPLOY: self.workflow})

    async def deploy(self) -> int:
        spec = ServiceSpec(image="nginx:1.29", container_port=80, is_public=False)
        async with self.office.db.transaction() as session:
            harbour = harbour_of(self.office)
            _, operation = await harbour.deploy(session, Order("shop", "web", spec, ONE), PERSON, at=self.clock.now())
            return operation.id

    async def act(self, action: str) -> int:
        async with self.office.db.transaction() as session:
            operation = await harbour_of(self.office).act(session, 1, action, PERSON, at=self.clock.now())
            return operation.id

    async def run(self, operation_id: int) -> Operation:
        await self.runner.run(operation_id)
        async with self.office.db.transaction() as session:
            return await get_operation(session, operation_id)

    async def has_good(self) -> None:
        assert (await self.run(await self.deploy())).status == OperationStatus.SUCCEEDED
        self.playbooks.runs.clear()

    async def freeze(self) -> int:
        async with self.office.db.transaction() as session:
            return (await hold(session, None, PERSON, at=self.clock.now(), reason="a storm")).id

    async def unfreeze(self, hold_id: int) -> None:
        async with self.office.db.transaction() as session:
            await lift(session, hold_id, PERSON, at=self.clock.now())
        self.clock.advance(HELD_S + 1)

    async def is_taken_off_the_list(self) -> None:
        """By the operator; the next reading of the provider's list makes it a ghost."""
        self.managed.clear()
        async with self.office.db.transaction() as session:
            server = await get_server(session, ONE, for_update=True)
            server.is_managed = False
            change_status(
                session, server, StatusEvent.NOT_ADMITTED, Party.INVENTORY, actor=audit.INVENTORY, at=self.clock.now()
            )

    async def is_lost(self) -> None:
        async with self.office.db.transaction() as session:
            server = await get_server(session, ONE, for_update=True)
            change_status(session, server, StatusEvent.LOST, Party.MONITOR, actor=audit.MONITOR, at=self.clock.now())

    async def deployment(self) -> ServiceDeployment:
        async with self.office.db.transaction() as session:
            return await store.get_deployment(session, 1)

    async def outcome_of(self, version: int) -> str:
        async with self.office.db.transaction() as session:
            return (await store.get_release(session, 1, version)).outcome


@pytest.fixture
async def quay(office: Office) -> Quay:
    made = Quay(office)
    async with office.db.transaction() as session:
        await add_server(session, ONE, at=made.clock.now())
        session.add(measured(ONE, at=made.clock.now()))
    return made


# --- who may be touched


async def test_a_server_that_left_the_list_during_a_freeze_is_not_deployed_to_after_it(quay: Quay) -> None:
    operation_id = await quay.deploy()
    frozen = await quay.freeze()
    assert (await quay.run(operation_id)).started_at is None
    await quay.is_taken_off_the_list()
    await quay.unfreeze(frozen)
    operation = await quay.run(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "touch_refused")
    assert "vps-1 is not managed" in (operation.error or "")
    assert (quay.playbooks.played, await quay.outcome_of(1)) == ([], ReleaseOutcome.NEW)


@pytest.mark.parametrize("action", ["start", "stop", "remove", "logs"])
async def test_nor_is_anything_else_done_to_its_services(quay: Quay, action: str) -> None:
    await quay.has_good()
    operation_id = await quay.act(action)
    await quay.is_taken_off_the_list()
    operation = await quay.run(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "touch_refused")
    assert (quay.playbooks.played, (await quay.deployment()).status) == ([], "running")


async def test_a_server_that_left_the_list_is_not_tried_again(quay: Quay) -> None:
    quay.playbooks.results = [AWAY]
    operation_id = await quay.deploy()
    assert (await quay.run(operation_id)).status == OperationStatus.QUEUED
    await quay.is_taken_off_the_list()
    quay.clock.advance(600)
    operation = await quay.run(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "touch_refused")
    assert quay.playbooks.played == ["deployed"]


async def test_a_server_that_left_the_list_meanwhile_is_not_put_back(quay: Quay) -> None:
    await quay.has_good()
    operation_id = await quay.deploy()
    quay.playbooks.results, quay.playbooks.meanwhile = [BAD], quay.managed.clear
    operation = await quay.run(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "deploy_failed")
    assert "vps-1 is not managed" in (operation.hint or ""), "nobody knows what runs there now"
    assert quay.playbooks.played == ["deployed"]


async def test_a_recovery_brings_nothing_back_to_a_server_that_left_the_list(quay: Quay) -> None:
    await quay.has_good()
    quay.managed.clear()
    run = OperationRun(0, ONE, "ours", 1, quay.office.db, quay.clock, quay.office.redactor)
    with pytest.raises(TouchRefused):
        await Redeployer(quay.workflow).redeploy(run, ONE)
    assert quay.playbooks.played == []


async def test_a_hold_that_came_after_the_first_attempt_puts_the_next_one_off(quay: Quay) -> None:
    quay.playbooks.results = [AWAY]
    operation_id = await quay.deploy()
    await quay.run(operation_id)
    frozen = await quay.freeze()
    quay.clock.advance(600)
    operation = await quay.run(operation_id)
    assert (operation.status, operation.waiting_for) == (OperationStatus.WAITING, HELD_BACK)
    assert "a storm" in (operation.hint or "") and quay.playbooks.played == ["deployed"]
    await quay.unfreeze(frozen)
    quay.clock.advance(60)
    queue = Queue(quay.office.conninfo)
    async with queue.open():
        await enqueue_due(quay.office.db, queue, quay.clock)
    operation = await quay.run(operation_id)
    assert (operation.status, operation.attempt) == (OperationStatus.SUCCEEDED, 2), "waiting is no attempt"


async def test_a_hold_that_comes_meanwhile_lets_what_has_begun_go_on_to_its_end(quay: Quay) -> None:
    await quay.has_good()
    operation_id = await quay.deploy()
    frozen: list[int] = []

    async def freeze() -> None:
        if not frozen:
            frozen.append(await quay.freeze())

    quay.playbooks.meanwhile = freeze
    quay.playbooks.results = [BAD]
    operation = await quay.run(operation_id)
    assert frozen and operation.hint == "Version 1 runs again."
    assert quay.playbooks.played == ["deployed", "deployed"]


async def test_what_was_put_off_until_the_server_was_lost_leaves_it_to_the_recovery(quay: Quay) -> None:
    operation_id = await quay.deploy()
    await quay.is_lost()
    operation = await quay.run(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "not_provisionable")
    assert quay.playbooks.played == []


# --- what no table can hold


LAST_WORDS = "GET /\x00 HTTP/1.1 \udc80"
"""As a container logs it for whoever asks: of a wrong byte Ansible makes half of a character."""
KEPT = "GET /\ufffd HTTP/1.1 \ufffd"


async def test_a_version_whose_last_words_cannot_be_stored_is_put_back(quay: Quay) -> None:
    await quay.has_good()
    operation_id = await quay.deploy()
    quay.playbooks.results = [PlaybookResult(False, 1, 1.0, error=f"not healthy. {LAST_WORDS}")]
    operation = await quay.run(operation_id)
    assert (operation.status, operation.error_code) == (OperationStatus.FAILED, "deploy_failed")
    assert KEPT in (operation.error or "") and operation.hint == "Version 1 runs again."
    assert (await quay.deployment()).error.endswith(f"{KEPT} The operation's log has the details.")


async def test_logs_that_cannot_be_stored_are_read(quay: Quay) -> None:
    await quay.has_good()
    quay.playbooks.results = [PlaybookResult(True, 0, 1.0, report={"logs": LAST_WORDS})]
    operation = await quay.run(await quay.act("logs"))
    assert (operation.status, operation.result["logs"]) == (OperationStatus.SUCCEEDED, KEPT)
