"""What every remote access must do, shown on a real SSH server and on ports that misbehave."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
from pydantic import SecretStr
from tests.contract.ssh_hosts import (
    ADDRESS,
    PASSWORD,
    Relay,
    SshHost,
    free_port,
    public_text,
    silent_port,
    speaking_port,
)

from lazaret.adapters.ssh import AsyncSshAccess
from lazaret.adapters.ssh import options as ssh_options
from lazaret.adapters.ssh.session import OUTPUT_LIMIT
from lazaret.kernel.errors import Misconfigured
from lazaret.servers.access import (
    AccessError,
    CommandTimeout,
    ConnectionLost,
    ConnectionRefusedByHost,
    HostKeyChanged,
    HostSilent,
    HungUp,
    KeyLogin,
    LoginRefused,
    NoBanner,
    PasswordLogin,
    PortState,
    RemoteAccess,
    RemoteSession,
    SshEndpoint,
)

RIGHT = PasswordLogin(SecretStr(PASSWORD))
WRONG = PasswordLogin(SecretStr("planted-but-wrong"))
SILENCE_S = 0.5
PATIENCE_S = 10.0
"""With a host that answers at once, on a machine that is busy."""
AT_MOST_S = SILENCE_S + 8
"""Less than that patience and than every limit that nobody set: a silence of ours, or an answer."""

REFUSED = lambda: contextlib.nullcontext(SshEndpoint(ADDRESS, free_port()))  # noqa: E731 - a table of ports
UNHEALTHY = {
    "refused": (REFUSED, ConnectionRefusedByHost),
    "silent": (silent_port, HostSilent),
    "no address": (lambda: contextlib.nullcontext(SshEndpoint("x" * 80)), HostSilent),
    "accepts, says nothing": (lambda: speaking_port(None, hang_up=False), NoBanner),
    "hangs up": (lambda: speaking_port(None, hang_up=True), HungUp),
    "not SSH": (lambda: speaking_port(b"HTTP/1.1 400 Bad Request\r\n\r\n", hang_up=True), HungUp),
    "shut out": (lambda: speaking_port(b"Not allowed at this time\r\n", hang_up=True), HungUp),
    "old SSH": (lambda: speaking_port(b"SSH-1.5-old\r\n", hang_up=False), NoBanner),
    "banner, no handshake": (lambda: speaking_port(b"SSH-2.0-hung\r\n", hang_up=False), NoBanner),
    "garbage": (lambda: speaking_port(b"SSH-2.0-x\r\n" + bytes(range(256)) * 400, hang_up=False), NoBanner),
}
SILENT = {"silent", "accepts, says nothing", "banner, no handshake"}
"""Those that only a limit tells; the others give an answer, of whatever kind."""


ACCESSES = {"asyncssh": AsyncSshAccess}


@pytest.fixture(params=ACCESSES)
def access(request: pytest.FixtureRequest) -> RemoteAccess:
    return ACCESSES[request.param]()


@pytest.fixture
async def host() -> AsyncIterator[SshHost]:
    async with SshHost().running() as running:
        yield running


@pytest.fixture
async def session(access: RemoteAccess, host: SshHost) -> AsyncIterator[RemoteSession]:
    async with access.connect(host.endpoint, host_keys=host.pinned, login=RIGHT) as opened:
        yield opened


def key_file(directory: Path, key: asyncssh.SSHKey) -> KeyLogin:
    path = directory / "key"
    path.touch(mode=0o600)
    path.write_bytes(key.export_private_key())
    return KeyLogin(path)


async def log_in(access: RemoteAccess, host: SshHost, login: PasswordLogin | KeyLogin) -> None:
    async with access.connect(host.endpoint, host_keys=host.pinned, login=login, timeout_s=5) as session:
        assert (await session.run("exit 0")).ok


class TestProbing:
    async def test_open(self, access, host):
        assert await access.probe_port(ADDRESS, host.port) is PortState.OPEN

    async def test_refused(self, access):
        assert await access.probe_port(ADDRESS, free_port()) is PortState.REFUSED

    async def test_silent(self, access):
        async with silent_port() as endpoint:
            assert await access.probe_port(ADDRESS, endpoint.port, timeout_s=0.2) is PortState.SILENT

    async def test_what_is_no_address(self, access):
        assert await access.probe_port("x" * 80, 22) is PortState.SILENT


class TestUnhealthyHosts:
    @pytest.mark.parametrize("port", UNHEALTHY)
    async def test_each_failure_has_its_name(self, access, host, port):
        make, kind = UNHEALTHY[port]
        timeout_s = SILENCE_S if port in SILENT else PATIENCE_S
        async with make() as endpoint:
            for attempt in (
                lambda: access.read_host_keys(endpoint, timeout_s=timeout_s),
                lambda: access.offers_password_login(endpoint, host_keys=host.pinned, timeout_s=timeout_s),
                lambda: _open(access, endpoint, host.pinned, timeout_s),
            ):
                began = asyncio.get_running_loop().time()
                with pytest.raises(AccessError) as caught:
                    await attempt()
                assert type(caught.value) is kind
                assert asyncio.get_running_loop().time() - began < AT_MOST_S


async def _open(access: RemoteAccess, endpoint: SshEndpoint, host_keys: list[str], timeout_s: float) -> None:
    async with access.connect(endpoint, host_keys=host_keys, login=RIGHT, timeout_s=timeout_s):
        pytest.fail("nobody is there")


class TestHostKeys:
    async def test_the_ed25519_key_is_read_among_others(self, access):
        keys = [asyncssh.generate_private_key(kind) for kind in ("ssh-rsa", "ecdsa-sha2-nistp256", "ssh-ed25519")]
        async with SshHost(host_keys=keys).running() as host:
            assert public_text(keys[2]) in await access.read_host_keys(host.endpoint)
            assert host.tried == []

    @pytest.mark.parametrize("kind", ["ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"])
    async def test_a_host_with_another_kind_only(self, access, kind):
        async with SshHost(host_keys=[asyncssh.generate_private_key(kind)]).running() as host:
            assert await access.read_host_keys(host.endpoint) == tuple(host.pinned)
            await log_in(access, host, RIGHT)
            assert await access.offers_password_login(host.endpoint, host_keys=host.pinned)

    async def test_any_pinned_key_will_do(self, access):
        keys = [asyncssh.generate_private_key(kind) for kind in ("ssh-rsa", "ssh-ed25519")]
        async with SshHost(host_keys=keys).running() as host:
            for pinned in host.pinned:
                async with access.connect(host.endpoint, host_keys=[pinned], login=RIGHT) as session:
                    assert (await session.run("exit 0")).ok
                assert await access.offers_password_login(host.endpoint, host_keys=[pinned])

    @pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa"])
    @pytest.mark.parametrize("extra", [[], ["ssh-ed25519 nonsense", ""]])
    async def test_another_key_is_refused_before_anything_secret_is_sent(self, access, kind, extra):
        stranger = public_text(asyncssh.generate_private_key("ssh-ed25519"))
        async with SshHost(host_keys=[asyncssh.generate_private_key(kind)]).running() as host:
            with pytest.raises(HostKeyChanged):
                async with access.connect(host.endpoint, host_keys=[stranger, *extra], login=RIGHT):
                    pytest.fail("logged in at a stranger's")
            with pytest.raises(HostKeyChanged):
                await access.offers_password_login(host.endpoint, host_keys=[stranger, *extra])
            assert host.tried == [] and host.users == []

    @pytest.mark.parametrize("host_keys", [[], ["nonsense"], ["ssh-ed25519 AAAA"]])
    async def test_without_a_pinned_key_nobody_is_spoken_to(self, access, host, host_keys):
        with pytest.raises(HostKeyChanged):
            async with access.connect(host.endpoint, host_keys=host_keys, login=RIGHT):
                pytest.fail("logged in without proof")
        assert host.tried == []

    async def test_the_users_own_files_are_not_asked(self, access, host, tmp_path, monkeypatch):
        key = asyncssh.generate_private_key("ssh-ed25519")
        host.authorized.append(key.convert_to_public())
        ssh = tmp_path / ".ssh"
        ssh.mkdir(mode=0o700)
        (ssh / "id_ed25519").write_bytes(key.export_private_key())
        (ssh / "known_hosts").write_text(f"[{ADDRESS}]:{host.port} {host.pinned[0]}\n")
        (ssh / "config").write_text(f"Host *\n  Port {free_port()}\n  User somebody\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(HostKeyChanged):
            async with access.connect(host.endpoint, host_keys=[], login=RIGHT):
                pytest.fail("trusted known_hosts")
        with pytest.raises(LoginRefused):
            await log_in(access, host, WRONG)
        assert "publickey" not in host.tried
        assert set(host.users) == {"root"}

    async def test_the_users_agent_is_not_asked(self, access, host, tmp_path, monkeypatch):
        asked = []
        agent = await asyncio.start_unix_server(lambda _, writer: (asked.append(1), writer.close()), tmp_path / "agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        for login in (WRONG, key_file(tmp_path, asyncssh.generate_private_key("ssh-ed25519"))):
            with pytest.raises(LoginRefused):
                await log_in(access, host, login)
        await access.offers_password_login(host.endpoint, host_keys=host.pinned)
        agent.close()
        assert asked == []


class TestLogin:
    async def test_by_password(self, access, host):
        await log_in(access, host, RIGHT)
        assert host.tried == ["password"] and host.users == ["root"]

    async def test_by_keyboard_interactive(self, access):
        async with SshHost(methods=("keyboard-interactive",)).running() as host:
            await log_in(access, host, RIGHT)
            assert host.tried == ["keyboard-interactive"]

    async def test_by_key(self, access, host, tmp_path):
        key = asyncssh.generate_private_key("ssh-ed25519")
        host.authorized.append(key.convert_to_public())
        await log_in(access, host, key_file(tmp_path, key))
        assert set(host.tried) == {"publickey"}

    @pytest.mark.parametrize(
        "methods", [("password",), ("keyboard-interactive",), ("password", "publickey"), ("publickey",)]
    )
    async def test_a_wrong_password(self, access, methods):
        async with SshHost(methods=methods).running() as host:
            with pytest.raises(LoginRefused):
                await log_in(access, host, WRONG)
            assert "publickey" not in host.tried

    @pytest.mark.parametrize("methods", [("publickey",), ("password", "publickey"), ("password",)])
    async def test_a_wrong_key_does_not_fall_back_to_anything(self, access, tmp_path, methods):
        async with SshHost(methods=methods).running() as host:
            with pytest.raises(LoginRefused):
                await log_in(access, host, key_file(tmp_path, asyncssh.generate_private_key("ssh-ed25519")))
            assert set(host.tried) <= {"publickey"}

    async def test_a_host_that_lets_everybody_in_proves_no_key(self, access, tmp_path):
        async with SshHost(methods=("none",)).running() as host:
            for login in (RIGHT, key_file(tmp_path, asyncssh.generate_private_key("ssh-ed25519"))):
                with pytest.raises(LoginRefused):
                    await log_in(access, host, login)

    @pytest.mark.parametrize("content", [None, b"", b"nonsense\n"])
    async def test_an_unusable_key_file_is_our_own_fault(self, access, host, tmp_path, content):
        path = tmp_path / "key"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(Misconfigured):
            await log_in(access, host, KeyLogin(path))
        assert host.connections == []

    async def test_a_key_with_passphrase_is_our_own_fault(self, access, host, tmp_path):
        path = tmp_path / "key"
        path.write_bytes(
            asyncssh.generate_private_key("ssh-ed25519").export_private_key("pkcs8-pem", passphrase="planted")
        )
        with pytest.raises(Misconfigured):
            await log_in(access, host, KeyLogin(path))


class TestPasswordOffer:
    @pytest.mark.parametrize(
        ("methods", "offered"),
        [
            (("publickey",), False),
            (("password",), True),
            (("publickey", "password"), True),
            (("publickey", "keyboard-interactive"), True),
            (("none",), True),
        ],
    )
    async def test_the_listed_methods_tell(self, access, methods, offered):
        async with SshHost(methods=methods).running() as host:
            assert await access.offers_password_login(host.endpoint, host_keys=host.pinned) is offered
            assert host.tried == []
            assert set(host.users) == {"root"}


class TestCommands:
    async def test_input_and_both_outputs(self, session, host):
        result = await session.run("echo", stdin="secret ü\n")
        assert (result.exit_status, result.stdout, result.stderr) == (0, "secret ü\n", "heard")
        assert host.received["stdin"] == "secret ü\n".encode()

    async def test_a_large_input(self, session, host):
        text = "0123456789abcdef" * 200_000
        assert len((await session.run("echo", stdin=text)).stdout) == OUTPUT_LIMIT
        assert len(host.received["stdin"]) == len(text)

    async def test_input_that_nobody_reads(self, session):
        assert (await session.run("exit 0", stdin="x" * 100_000)).ok

    @pytest.mark.parametrize("status", [0, 1, 255])
    async def test_the_exit_status_is_a_result(self, session, status):
        result = await session.run(f"exit {status}")
        assert (result.exit_status, result.ok) == (status, status == 0)

    async def test_a_killed_command_is_not_ok(self, session):
        result = await session.run("signal")
        assert not result.ok

    async def test_output_is_capped_and_the_connection_goes_on(self, session):
        result = await session.run("flood")
        assert result.ok
        assert (len(result.stdout), len(result.stderr)) == (OUTPUT_LIMIT, OUTPUT_LIMIT)
        assert (await session.run("exit 0")).ok

    async def test_what_is_not_utf8_is_replaced(self, session):
        assert (await session.run("garbage")).stdout == "a\ufffd\ufffdb é"

    async def test_several_at_once(self, session):
        results = await asyncio.gather(*(session.run("echo", stdin=str(number)) for number in range(8)))
        assert [result.stdout for result in results] == [str(number) for number in range(8)]

    async def test_a_command_that_takes_too_long_ends_the_connection(self, session):
        began = asyncio.get_running_loop().time()
        with pytest.raises(CommandTimeout):
            await session.run("hang", timeout_s=0.3)
        assert asyncio.get_running_loop().time() - began < 15  # unasked, it would be 30 s
        with pytest.raises(ConnectionLost):
            await session.run("exit 0")

    async def test_a_host_that_crashes_in_the_middle(self, session):
        with pytest.raises(ConnectionLost):
            await session.run("crash")

    async def test_a_connection_that_was_lost_before(self, session, host):
        host.drop_all()
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionLost):
            await session.run("exit 0")

    async def test_cancelling_a_command_ends_it_and_leaves_the_connection_usable(self, session, host):
        running = asyncio.create_task(session.run("hang"))
        await host.hangs()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        async with asyncio.timeout(20):
            await host.hung_up.wait()
        assert (await session.run("exit 0")).ok

    @pytest.mark.slow
    async def test_a_dead_host_is_noticed(self, access, host):
        """Its bytes vanish, and no reset comes."""
        async with Relay(host.endpoint).running() as relay:
            opening = access.connect(relay.endpoint, host_keys=host.pinned, login=RIGHT)
            async with opening as session:
                running = asyncio.create_task(session.run("hang", timeout_s=60))
                await host.hangs()
                relay.is_deaf = True
                began = asyncio.get_running_loop().time()
                with pytest.raises(ConnectionLost):
                    await running
                assert 14 < asyncio.get_running_loop().time() - began < 20


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_nothing_stays_open(access, host):
    """Sockets are closed on every way out."""
    before = open_files()
    for _ in range(5):
        await log_in(access, host, RIGHT)
        await access.read_host_keys(host.endpoint)
        await access.offers_password_login(host.endpoint, host_keys=host.pinned)
        for make, _kind in (UNHEALTHY["hangs up"], UNHEALTHY["refused"]):
            async with make() as endpoint:
                with pytest.raises(AccessError):
                    await access.read_host_keys(endpoint, timeout_s=1)
        with pytest.raises(LoginRefused):
            await log_in(access, host, WRONG)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while open_files() > before + 2:
                await asyncio.sleep(0.1)
    assert open_files() <= before + 2


async def test_no_secret_is_told(access, host, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    told = []
    async with access.connect(host.endpoint, host_keys=host.pinned, login=RIGHT) as session:
        told.append(repr(await session.run("exit 0", stdin="planted-input")))
    for login in (WRONG, key_file(tmp_path, asyncssh.generate_private_key("ssh-ed25519"))):
        with pytest.raises(LoginRefused) as caught:
            await log_in(access, host, login)
        told.append("".join(traceback.format_exception(caught.value)))
    told.append(caplog.text)
    for secret in (PASSWORD, "planted-but-wrong", "planted-input"):
        assert secret not in "".join(told)


def test_a_dead_host_takes_fifteen_seconds():
    assert ssh_options.KEEPALIVE_S * (ssh_options.KEEPALIVE_MISSES + 1) == 15
