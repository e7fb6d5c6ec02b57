"""What every provider must do: those with an API over real HTTP against the lab's cloud, quirks switched on.

`each` is every provider there is, and tests what follows from its capabilities; `rig` those that have an API. A third
provider is a line in `EACH`, and one in `PROVIDERS` when it has an API that the lab can play.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from tests.contract.ssh_hosts import free_port

from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.adapters.static import HostsFile, StaticProvider
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
    ProviderCannot,
    ProviderError,
    ProviderLoginRefused,
    ProviderRefused,
    ProviderTask,
    ProviderTaskTimeout,
    ProviderTaskUnknown,
    ProviderThrottled,
    ProviderUnavailable,
)
from lazaret.servers.registry import KINDS, kind_of

QUICK = 0.002
"""A reset takes 0.11 s, a reinstall 0.82 s."""
FREELY = Rate(burst=10_000, per_s=1000, reserve=3)
TIMEOUT_S = 10.0
PATIENCE_S = 60.0
"""With a task that ends."""
IMPATIENT_S, SLOW_S = 1.0, 3.0
"""A client that does not wait for a slow answer, and how slow that is."""
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

    def act(self, action: Capability, server_id: int | None = None) -> Coroutine[Any, Any, int]:
        wanted = self.server_id if server_id is None else server_id
        match action:
            case Capability.REBOOT:
                return self.provider.reboot(wanted)
            case Capability.RESET_PASSWORD:
                return self.provider.reset_password(wanted)
            case Capability.REINSTALL:
                return self.provider.reinstall(wanted, self.lab.rack.templates[-1].os)
            case Capability.FLUSH_FIREWALL:
                return self.provider.flush_firewall(wanted)

    async def let_go(self) -> None:
        """End the task that hangs, as soon as it does."""
        async with asyncio.timeout(30):
            while (task := self.server.active_task) is None or task.assigned is None:
                await asyncio.sleep(0.01)
        self.lab.cloud.end_task(self.server_id)

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


def time4vps(
    lab: Lab, *, base_url: str = "", password: SecretStr | None = None, timeout_s: float = TIMEOUT_S
) -> Time4VPSClient:
    clock = SystemClock()
    return Time4VPSClient(
        base_url=base_url or lab.base_url,
        login=lab.account.login,
        password=password or lab.account.password,
        budget=InMemoryCallBudget(clock, FREELY),
        clock=clock,
        poll_interval_s=0.02,
        timeout_s=timeout_s,
    )


PROVIDERS = {"time4vps": time4vps}


@pytest.fixture(params=PROVIDERS)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with _lab() as lab, PROVIDERS[request.param](lab) as provider:
        yield Rig(provider, lab)


@asynccontextmanager
async def meeting(rig: Rig, trouble: Switch) -> AsyncIterator[Rig]:
    """The rig; where the trouble is a slow answer, with a client that does not wait for it."""
    if not isinstance(trouble, Slow):
        yield rig
        return
    async with PROVIDERS[rig.provider.name](rig.lab, timeout_s=IMPATIENT_S) as provider:
        yield Rig(provider, rig.lab)


@asynccontextmanager
async def _lab() -> AsyncIterator[Lab]:
    async with Lab(name=f"contract{os.getpid()}", hosts=1, time_scale=QUICK) as lab:
        yield lab


def static(lab: Lab, directory: Path) -> StaticProvider:
    """The lab's hosts as hosts of a file."""
    path = directory / "hosts.yml"
    write_hosts(lab, path)
    return StaticProvider(HostsFile(path))


def write_hosts(lab: Lab, path: Path) -> None:
    hosts = [
        {"id": server.server_id, "name": server.hostname, "address": server.address, "port": server.ssh_port}
        for server in lab.cloud.servers()
    ]
    path.write_text(yaml.safe_dump({"hosts": hosts}))


@dataclass
class AnyRig(Rig):
    """The same for a provider of any abilities; `is_empty` and `is_away` make of its list what can become of it."""

    directory: Path

    async def is_empty(self) -> None:
        await self.lab.cloud.remove_server(self.server_id)
        if self.provider.name == "static":
            write_hosts(self.lab, self.directory / "hosts.yml")

    def is_away(self) -> None:
        self.lab.switches.set(GatewayError())
        if self.provider.name == "static":
            (self.directory / "hosts.yml").write_text("hosts: [")


EACH = [kind.name for kind in KINDS]


@pytest.fixture(params=EACH)
async def each(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyRig]:
    async with _lab() as lab, AsyncExitStack() as stack:
        if request.param == "static":
            yield AnyRig(static(lab, tmp_path), lab, tmp_path)
        else:
            provider = await stack.enter_async_context(PROVIDERS[request.param](lab))
            yield AnyRig(provider, lab, tmp_path)


class TestEach:
    """Whatever a provider can do and cannot."""

    async def test_it_is_what_the_registry_says(self, each: AnyRig):
        kind = kind_of(each.provider.name)
        assert kind in KINDS
        assert each.provider.capabilities == kind.capabilities == set(each.provider.task_names)

    async def test_the_list_and_the_details_tell_of_one_server(self, each: AnyRig):
        (listed,) = await each.provider.list_servers()
        details = await each.provider.get_server(listed.server_id, fresh=True)
        assert (listed.server_id, details.server_id) == (each.server_id, each.server_id)
        assert listed.public_ip == details.public_ip == each.server.address
        assert listed.hostname == details.hostname == each.server.hostname
        assert (details.active_task, details.last_tasks) == (None, ())
        assert await each.provider.first_login(listed.server_id) is None

    async def test_nobody_is_listed(self, each: AnyRig):
        await each.is_empty()
        assert await each.provider.list_servers() == []

    async def test_lasting_trouble_is_never_an_empty_list(self, each: AnyRig):
        each.is_away()
        with pytest.raises(ProviderUnavailable):
            await each.provider.list_servers()

    @pytest.mark.parametrize("server_id", [1, 999_999_999])
    async def test_a_server_that_is_not_ours(self, each: AnyRig, server_id: int):
        for call in (
            each.provider.get_server(server_id),
            each.provider.list_os(server_id),
            each.provider.get_task_result(server_id, 1),
            *(each.act(action, server_id) for action in Capability),
        ):
            with pytest.raises(ProviderRefused):
                await call

    async def test_a_task_that_never_was(self, each: AnyRig):
        with pytest.raises(ProviderTaskUnknown):
            await each.provider.get_task_result(each.server_id, 1)

    @pytest.mark.parametrize("action", Capability)
    async def test_an_action_is_done_or_refused_for_good_by_its_capability(self, each: AnyRig, action: Capability):
        """Refused means that nobody was asked, that it is no busy provider, and that asking again is no use."""
        if action in each.provider.capabilities:
            assert await each.act(action, each.server_id)
            return
        with pytest.raises(ProviderCannot) as refused:
            await each.act(action, each.server_id)
        assert not refused.value.retryable and not isinstance(refused.value, ProviderBusy)
        assert action.value in refused.value.message and refused.value.hint
        assert each.lab.journal.entries(kind="call") == []

    async def test_what_was_never_asked_has_no_password(self, each: AnyRig):
        assert each.provider.password_in(ProviderTask("whatever", 1)) is None


class TestReading:
    async def test_details(self, rig: Rig):
        details, server = await rig.provider.get_server(rig.server_id), rig.server
        assert (details.status, details.active_task, details.last_tasks) == ("Active", None, ())
        assert (details.cpu_cores, details.ram_mb) == (server.plan.cpu_cores, server.plan.ram_mb)

    async def test_operating_systems(self, rig: Rig):
        offered = await rig.provider.list_os(rig.server_id)
        assert [template.os for template in offered] == [template.os for template in rig.lab.rack.templates]

    @pytest.mark.parametrize(
        "trouble", [GatewayError(times=1), Cut(times=1), Cut(times=1, after_bytes=10), Slow(delay_s=SLOW_S, times=1)]
    )
    async def test_passing_trouble_is_not_noticed(self, rig: Rig, trouble: Switch):
        async with meeting(rig, trouble) as its:
            its.lab.switches.set(trouble)
            assert len(await its.provider.list_servers()) == 1


class TestActions:
    @pytest.mark.parametrize("action", Capability)
    async def test_each_is_called_once_and_ends(self, rig: Rig, action: Capability):
        assert action in rig.provider.capabilities
        task_id = await rig.act(action)
        task = await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=PATIENCE_S)
        assert task.name == rig.provider.task_names[action]
        assert task.activated_at and task.assigned_at and task.completed_at
        assert task.activated_at <= task.assigned_at <= task.completed_at
        assert rig.calls(ACTIONS[action]) == 1
        details = await rig.provider.get_server(rig.server_id)
        assert [last.name for last in details.last_tasks] == [rig.provider.task_names[action]]
        assert details.active_task is None

    async def test_a_running_task_is_seen(self, rig: Rig):
        rig.lab.switches.set(TaskHangs(times=1))
        await rig.provider.get_server(rig.server_id)
        task_id = await rig.provider.reset_password(rig.server_id)
        task = await rig.provider.get_task_result(rig.server_id, task_id)
        details = await rig.provider.get_server(rig.server_id)
        assert not task.is_over
        assert details.active_task is not None and details.active_task.name == task.name

    async def test_a_reset_gives_the_password_that_opens_the_host(self, rig: Rig):
        old = rig.server.root_password
        task_id = await rig.provider.reset_password(rig.server_id)
        password = await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=PATIENCE_S)
        assert await rig.opens(password)
        assert not await rig.opens(old)

    async def test_a_reinstall_gives_another_system_and_its_password(self, rig: Rig):
        wanted = rig.lab.rack.templates[-1].os
        task_id = await rig.provider.reinstall(rig.server_id, wanted)
        task = await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=PATIENCE_S)
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
        rig.lab.switches.set(TaskHangs(times=1))
        task_id = await rig.provider.reset_password(rig.server_id)
        with pytest.raises(ProviderBusy):
            await rig.provider.reboot(rig.server_id)
        await rig.let_go()
        assert (await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=PATIENCE_S)).is_over

    async def test_a_second_action_may_be_queued(self, rig: Rig):
        rig.lab.switches.set(Busy(mode="queue"))
        first = await rig.provider.flush_firewall(rig.server_id)
        second = await rig.provider.reset_password(rig.server_id)
        assert await rig.provider.wait_for_password_reset(rig.server_id, second, timeout_s=PATIENCE_S)
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
            (Slow(delay_s=SLOW_S), True),
        ],
    )
    async def test_sent_once_and_told_as_uncertain(self, rig: Rig, trouble: Switch, executed: bool):
        rig.lab.switches.set(trouble.model_copy(update={"call": Call.RESET_PASSWORD}))
        async with meeting(rig, trouble) as its:
            with pytest.raises(ProviderUnavailable) as caught:
                await its.provider.reset_password(rig.server_id)
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
            rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=PATIENCE_S),
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
            Slow(delay_s=SLOW_S, times=1),
            ErrorWith200(times=3),
        ],
    )
    async def test_trouble_with_polls_does_not_end_it(self, rig: Rig, trouble: Switch):
        async with meeting(rig, trouble) as its:
            task_id = await its.provider.reset_password(rig.server_id)
            rig.lab.switches.set(trouble.model_copy(update={"call": Call.TASK}))
            password = await its.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=PATIENCE_S)
        assert password == rig.server.root_password
        assert rig.calls() == 1

    async def test_a_throttle_longer_than_the_time_left(self, rig: Rig):
        task_id = await rig.provider.reset_password(rig.server_id)
        rig.lab.switches.set(Throttle(wait_s=60, call=Call.TASK))
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProviderTaskTimeout):
            await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=0.5)
        assert 0.4 < asyncio.get_running_loop().time() - began < 10  # the throttle is 60 s

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
            await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=PATIENCE_S)


@pytest.mark.parametrize("form", ["plain", "html", "multiline"])
@pytest.mark.parametrize("awkward", [False, True])
async def test_every_form_of_a_password(rig: Rig, form: str, awkward: bool):
    rig.lab.switches.set(PasswordText.model_validate({"form": form}))
    if awkward:
        rig.lab.switches.set(AwkwardPassword())
    task_id = await rig.provider.reset_password(rig.server_id)
    password = await rig.provider.wait_for_password_reset(rig.server_id, task_id, timeout_s=PATIENCE_S)
    assert password == rig.server.root_password
    assert await rig.opens(password)


@pytest.mark.parametrize("spelling", [Nulls(), IdsAsStrings(), SingleObject(), DateForm()], ids=lambda s: s.name)
async def test_every_spelling_means_the_same(rig: Rig, spelling: Switch):
    plain = await rig.provider.list_servers(), await rig.provider.get_server(rig.server_id, fresh=True)
    rig.lab.switches.set(spelling)
    rig.lab.switches.set(TaskHangs(times=1))
    assert (await rig.provider.list_servers(), await rig.provider.get_server(rig.server_id, fresh=True)) == plain
    task_id = await rig.provider.reset_password(rig.server_id)
    assert not (await rig.provider.get_task_result(rig.server_id, task_id)).is_over
    await rig.let_go()
    task = await rig.provider.wait_for_task(rig.server_id, task_id, timeout_s=PATIENCE_S)
    assert rig.provider.password_in(task) == rig.server.root_password
    (last,) = (await rig.provider.get_server(rig.server_id)).last_tasks
    assert (last.name, last.activated_at, last.completed_at) == (task.name, task.activated_at, task.completed_at)
