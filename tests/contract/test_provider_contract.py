"""What every provider must do, over real HTTP against the lab's cloud with simulated hosts, quirks switched on."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from tests.contract.ssh_hosts import free_port

from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.adapters.time4vps import Time4VPSClient
from lazaret.kernel.clock import SystemClock
from lazaret.lab.calls import Call
from lazaret.lab.instance import Lab
from lazaret.lab.servers import CloudServer
from lazaret.lab.switches import (
    AddressNotAllowed,
    AwkwardPassword,
    Busy,
    Cut,
    DateForm,
    ErrorWith200,
    GatewayError,
    IdsAsStrings,
    Nulls,
    PasswordText,
    SingleObject,
    Slow,
    Switch,
    TaskFails,
    TaskHangs,
    Throttle,
    WrongCredentials,
)
from lazaret.servers.access import LoginRefused, PasswordLogin, SshEndpoint
from lazaret.servers.call_budget import InMemoryCallBudget, Rate
from lazaret.servers.provider import (
    Capability,
    PasswordNotInResult,
    Provider,
    ProviderAddressNotAllowed,
    ProviderBusy,
    ProviderError,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTaskTimeout,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
)

QUICK = 0.002
"""A reset takes 0.11 s, a reinstall 0.82 s."""
FREELY = Rate(burst=10_000, per_s=1000, reserve=3)
TIMEOUT_S = 0.5
ACTIONS = {
    Capability.REBOOT: Call.REBOOT,
    Capability.RESET_PASSWORD: Call.RESET_PASSWORD,
    Capability.REINSTALL: Call.REINSTALL,
    Capability.FLUSH_FIREWALL: Call.FLUSH_FIREWALL,
}


@dataclass
class Rig:
    """A provider under test and the lab that plays the other side."""

    provider: Provider
    lab: Lab

    @property
    def server(self) -> CloudServer:
        return self.lab.cloud.servers()[0]

    @property
    def server_id(self) -> int:
        return self.server.server_id

    def calls(self, action: Call = Call.RESET_PASSWORD, outcome: str | None = None) -> int:
        return len(self.lab.journal.entries(kind="call", action=action.value, outcome=outcome))

    async def act(self, action: Capability) -> int:
        match action:
            case Capability.REBOOT:
                return await self.provider.reboot(self.server_id)
            case Capability.RESET_PASSWORD:
                return await self.provider.reset_password(self.server_id)
            case Capability.REINSTALL:
                return await self.provider.reinstall(self.server_id, self.lab.rack.templates[-1].os)
            case Capability.FLUSH_FIREWALL:
                return await self.provider.flush_firewall(self.server_id)

    async def until_idle(self) -> None:
        async with asyncio.timeout(10):
            while self.server.active_task is not None:
                await asyncio.sleep(0.02)

    async def opens(self, password: SecretStr) -> bool:
        """Whether the host takes this password; it may still be booting."""
        access = AsyncSshAccess()
        endpoint = SshEndpoint(self.server.address, self.server.ssh_port)
        keys = await access.read_host_keys(endpoint)
        try:
            async with access.connect(endpoint, host_keys=keys, login=PasswordLogin(password)):
                return True
        except LoginRefused:
            return False


def time4vps(lab: Lab, *, base_url: str = "", password: SecretStr | None = None) -> Time4VPSClient:
    clock = SystemClock()
    return Time4VPSClient(
        base_url=base_url or lab.base_url,
        login=lab.account.login,
        password=password or lab.account.password,
        budget=InMemoryCallBudget(clock, FREELY),
        clock=clock,
        poll_interval_s=0.02,
        timeout_s=TIMEOUT_S,
    )


PROVIDERS = {"time4vps": time4vps}


@pytest.fixture(params=PROVIDERS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with _lab() as lab, PROVIDERS[request.param](lab) as provider:
        yield Rig(provider, lab)


@asynccontextmanager
async def _lab() -> AsyncIterator[Lab]:
    async with Lab(name=f"contract{os.getpid()}", hosts=1, time_scale=QUICK) as lab:
        yield lab


class TestReading:
    async def test_the_list_and_the_details_tell_of_one_server(self, rig: Rig):
        (listed,) = await rig.provider.list_servers()
        details = await rig.provider.get_server(listed.server_id)
        server = rig.server
        assert (listed.server_id, details.server_id) == (server.server_id, server.server_id)
        assert listed.public_ip == details.public_ip == server.address
        assert listed.hostname == details.hostname == server.hostname
        assert (details.status, details.active_task, details.last_tasks) == ("Active", None, ())
        assert (details.cpu_cores, details.ram_mb) == (server.plan.cpu_cores, server.plan.ram_mb)

    async def test_operating_systems(self, rig: Rig):
        offered = await rig.provider.list_os(rig.server_id)
        assert [template.os for template in offered] == [template.os for template in rig.lab.rack.templates]

    async def test_an_empty_account(self, rig: Rig):
        await rig.lab.cloud.remove_server(rig.server_id)
        assert await rig.provider.list_servers() == []

    @pytest.mark.parametrize("server_id", [1, 999_999_999])
    async def test_a_server_that_is_not_ours(self, rig: Rig, server_id: int):
        for call in (
            rig.provider.get_server(server_id),
            rig.provider.list_os(server_id),
            rig.provider.get_task_result(server_id, 1),
            rig.provider.reset_password(server_id),
        ):
            with pytest.raises(ProviderRefused):
                await call

    async def test_a_task_that_never_was(self, rig: Rig):
        with pytest.raises(ProviderTaskUnknown):
            await rig.provider.get_task_result(rig.server_id, 1)

    @pytest.mark.parametrize(
        "trouble", [GatewayError(times=1), Cut(times=1), Cut(times=1, after_bytes=10), Slow(delay_s=1, times=1)]
    )
    async def test_passing_trouble_is_not_noticed(self, rig: Rig, trouble: Switch):
        rig.lab.switches.set(trouble)
        assert len(await rig.provider.list_servers()) == 1

    async def test_lasting_trouble_is_never_an_empty_list(self, rig: Rig):
        rig.lab.switches.set(GatewayError())
        with pytest.raises(ProviderUnavailable):
            await rig.provider.list_servers()


class TestActions:
    @pytest.mark.parametrize("action", Capability)
    async def test_each_is_called_once_and_ends(self, rig: Rig, action: Capability):
        assert action in rig.provider.capabilities
        task_id = await rig.act(action)
        task = await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=10)
        assert task.name == rig.provider.task_names[action]
        assert task.activated_at and task.assigned_at and task.completed_at
        assert task.activated_at <= task.assigned_at <= task.completed_at
        assert rig.calls(ACTIONS[action]) == 1
        details = await rig.provider.get_server(rig.server_id)
        assert [last.name for last in details.last_tasks] == [rig.provider.task_names[action]]
        assert details.active_task is None

    async def test_a_running_task_is_seen(self, rig: Rig):
        await rig.provider.get_server(rig.server_id)
        task_id = await rig.provider.reset_password(rig.server_id)
        task = await rig.provider.get_task_result(rig.server_id, task_id)
        details = await rig.provider.get_server(rig.server_id)
        assert not task.is_over
        assert details.active_task is not None and details.active_task.name == task.name

    async def test_a_reset_gives_the_password_that_opens_the_host(self, rig: Rig):
        old = rig.server.root_password
        task_id = await rig.provider.reset_password(rig.server_id)
        password = await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=10)
        assert await rig.opens(password)
        assert not await rig.opens(old)

    async def test_a_reinstall_gives_another_system_and_its_password(self, rig: Rig):
        wanted = rig.lab.rack.templates[-1].os
        task_id = await rig.provider.reinstall(rig.server_id, wanted)
        task = await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=10)
        password = rig.provider.password_in(task)
        assert password == rig.server.root_password
        assert (await rig.provider.get_server(rig.server_id)).os_template == wanted

    async def test_an_unknown_system_is_refused(self, rig: Rig):
        with pytest.raises(ProviderRefused):
            await rig.provider.reinstall(rig.server_id, "no-such-os")
        assert rig.server.active_task is None

    @pytest.mark.parametrize("status", [200, 409])
    async def test_a_second_action_is_refused_as_busy(self, rig: Rig, status: int):
        rig.lab.switches.set(Busy(mode="refuse", status=status))
        task_id = await rig.provider.reset_password(rig.server_id)
        with pytest.raises(ProviderBusy):
            await rig.provider.reboot(rig.server_id)
        assert (await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=10)).is_over

    async def test_a_second_action_may_be_queued(self, rig: Rig):
        rig.lab.switches.set(Busy(mode="queue"))
        first = await rig.provider.flush_firewall(rig.server_id)
        second = await rig.provider.reset_password(rig.server_id)
        assert await rig.provider.wait_for_password_reset(rig.server_id, second, timeout_s=10)
        assert (await rig.provider.get_task_result(rig.server_id, first)).is_over

    @pytest.mark.parametrize("bare", [False, True])
    async def test_a_refusal_with_status_200(self, rig: Rig, bare: bool):
        rig.lab.switches.set(ErrorWith200(bare=bare))
        with pytest.raises(ProviderRefused, match="could not be performed"):
            await rig.provider.reset_password(rig.server_id)


class TestUncertainAnswers:
    """An action whose answer is lost may have been executed; the provider's own record tells."""

    @pytest.mark.parametrize(
        ("trouble", "executed"),
        [
            (GatewayError(executed=False), False),
            (GatewayError(executed=True), True),
            (Cut(executed=False), False),
            (Cut(executed=True), True),
            (Cut(after_bytes=5), True),
            (Slow(delay_s=2), True),
        ],
    )
    async def test_sent_once_and_told_as_uncertain(self, rig: Rig, trouble: Switch, executed: bool):
        rig.lab.switches.set(trouble.model_copy(update={"call": Call.RESET_PASSWORD}))
        with pytest.raises(ProviderUnavailable) as caught:
            await rig.provider.reset_password(rig.server_id)
        assert not caught.value.certainly_not_sent
        assert (rig.calls(), rig.calls(outcome="accepted")) == (1, int(executed))
        await rig.until_idle()
        details = await rig.provider.get_server(rig.server_id, fresh=True)
        assert len(details.last_tasks) == int(executed)
        if executed:
            password = rig.provider.password_in(details.last_tasks[-1])
            assert password == rig.server.root_password

    async def test_nobody_there_is_certain(self, rig: Rig):
        async with time4vps(rig.lab, base_url=f"http://127.0.0.1:{free_port()}/api") as provider:
            with pytest.raises(ProviderUnavailable) as caught:
                await provider.reset_password(rig.server_id)
        assert caught.value.certainly_not_sent
        assert rig.calls() == 0


class TestRefusedLogins:
    @pytest.mark.parametrize(
        ("switch", "kind"),
        [
            (WrongCredentials(), ProviderLoginRefused),
            (AddressNotAllowed(), ProviderAddressNotAllowed),
        ],
    )
    async def test_told_apart_and_not_repeated(self, rig: Rig, switch: Switch, kind: type[ProviderError]):
        task_id = await rig.provider.reset_password(rig.server_id)
        rig.lab.switches.set(switch)
        for call in (
            rig.provider.list_servers(),
            rig.provider.reboot(rig.server_id),
            rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=10),
        ):
            with pytest.raises(kind):
                await call
        assert rig.calls(Call.REBOOT) == 1

    async def test_a_wrong_password(self, rig: Rig):
        async with time4vps(rig.lab, password=SecretStr("planted-wrong")) as provider:
            with pytest.raises(ProviderLoginRefused) as caught:
                await provider.list_servers()
        assert "planted" not in str(caught.value)


class TestWaiting:
    @pytest.mark.parametrize(
        "trouble",
        [
            Throttle(wait_s=1, times=1),
            GatewayError(times=5),
            Cut(times=5),
            Cut(times=2, after_bytes=20),
            Slow(delay_s=0.7, times=1),
            ErrorWith200(times=3),
        ],
    )
    async def test_trouble_with_polls_does_not_end_it(self, rig: Rig, trouble: Switch):
        task_id = await rig.provider.reset_password(rig.server_id)
        rig.lab.switches.set(trouble.model_copy(update={"call": Call.TASK}))
        password = await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=10)
        assert password == rig.server.root_password
        assert rig.calls() == 1

    async def test_a_throttle_longer_than_the_time_left(self, rig: Rig):
        task_id = await rig.provider.reset_password(rig.server_id)
        rig.lab.switches.set(Throttle(wait_s=60, call=Call.TASK))
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProviderTaskTimeout):
            await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=0.5)
        assert 0.4 < asyncio.get_running_loop().time() - began < 2

    async def test_a_throttled_action_was_not_executed(self, rig: Rig):
        rig.lab.switches.set(Throttle(wait_s=24, times=1))
        with pytest.raises(ProviderThrottled) as caught:
            await rig.provider.reset_password(rig.server_id)
        assert caught.value.wait_s == 24
        assert rig.calls(outcome="accepted") == 0

    async def test_a_task_that_hangs(self, rig: Rig):
        rig.lab.switches.set(TaskHangs())
        task_id = await rig.provider.reset_password(rig.server_id)
        with pytest.raises(ProviderTaskTimeout):
            await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=0.5)
        assert not (await rig.provider.get_task_result(rig.server_id, task_id)).is_over

    @pytest.mark.parametrize("switch", [PasswordText(form="missing"), TaskFails()])
    async def test_over_without_a_password(self, rig: Rig, switch: Switch):
        rig.lab.switches.set(switch)
        task_id = await rig.provider.reset_password(rig.server_id)
        with pytest.raises(PasswordNotInResult):
            await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=10)


@pytest.mark.parametrize("form", ["plain", "html", "multiline"])
@pytest.mark.parametrize("awkward", [False, True])
async def test_every_form_of_a_password(rig: Rig, form: str, awkward: bool):
    rig.lab.switches.set(PasswordText.model_validate({"form": form}))
    if awkward:
        rig.lab.switches.set(AwkwardPassword())
    task_id = await rig.provider.reset_password(rig.server_id)
    password = await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=10)
    assert password == rig.server.root_password
    assert await rig.opens(password)


@pytest.mark.parametrize("spelling", [Nulls(), IdsAsStrings(), SingleObject(), DateForm()], ids=lambda s: s.name)
async def test_every_spelling_means_the_same(rig: Rig, spelling: Switch):
    plain = await rig.provider.list_servers(), await rig.provider.get_server(rig.server_id, fresh=True)
    rig.lab.switches.set(spelling)
    assert (await rig.provider.list_servers(), await rig.provider.get_server(rig.server_id, fresh=True)) == plain
    task_id = await rig.provider.reset_password(rig.server_id)
    assert not (await rig.provider.get_task_result(rig.server_id, task_id)).is_over
    task = await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=10)
    assert rig.provider.password_in(task) == rig.server.root_password
    (last,) = (await rig.provider.get_server(rig.server_id)).last_tasks
    assert (last.name, last.activated_at, last.completed_at) == (task.name, task.activated_at, task.completed_at)
