"""What asyncssh is told: only what the caller gave."""

import asyncssh
import pytest
from pydantic import SecretStr

from lazaret.adapters.ssh.options import (
    HOST_KEY_ALGORITHMS,
    login_options,
    preferred_algorithms,
    public_keys,
    stranger_options,
)
from lazaret.servers.access import KeyLogin, PasswordLogin, SshEndpoint

HERE = SshEndpoint("203.0.113.20", 2222, "admin")
ED25519 = asyncssh.generate_private_key("ssh-ed25519").convert_to_public()
RSA = asyncssh.generate_private_key("ssh-rsa", key_size=2048).convert_to_public()


def options_of(login: PasswordLogin | KeyLogin) -> asyncssh.SSHClientConnectionOptions:
    """As `asyncssh.connect` makes them."""
    return asyncssh.SSHClientConnectionOptions(**login_options(HERE, [ED25519], login))


@pytest.fixture
def login(request, tmp_path) -> PasswordLogin | KeyLogin:
    if request.param == "password":
        return PasswordLogin(SecretStr("planted"))
    path = tmp_path / "key"
    path.write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    return KeyLogin(path)


@pytest.mark.parametrize("login", ["password", "key"], indirect=True)
def test_nothing_of_the_users_is_used(login, monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent/agent")
    for options in (options_of(login), stranger_options(HERE)):
        assert not options.agent_path
        assert options.username == "admin"
        assert options.x509_trusted_certs is None
    assert options_of(login).known_hosts == ([ED25519], [], [])


@pytest.fixture
def key_at_home(tmp_path, monkeypatch) -> None:
    """The user has a key of their own where every SSH client looks for it."""
    (tmp_path / ".ssh").mkdir()
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / ".ssh" / "id_ed25519").write_bytes(key.export_private_key())
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("key_at_home")
@pytest.mark.parametrize("login", ["password"], indirect=True)
def test_a_password_brings_no_key(login):
    options = options_of(login)
    assert options.password == "planted"
    assert not options.client_keys
    assert set(options.preferred_auth) == {"password", "keyboard-interactive"}


@pytest.mark.parametrize("login", ["key"], indirect=True)
def test_a_key_brings_no_password(login):
    options = options_of(login)
    assert options.password is None
    assert len(options.client_keys) == 1


@pytest.mark.usefixtures("key_at_home")
def test_a_stranger_has_nothing_to_tell():
    options = stranger_options(HERE)
    assert options.password is None and not options.client_keys


def test_ed25519_is_preferred_unless_another_is_pinned():
    assert preferred_algorithms([])[0] == "ssh-ed25519"
    assert preferred_algorithms([ED25519])[0] == "ssh-ed25519"
    assert preferred_algorithms([RSA])[:2] == ["rsa-sha2-256", "rsa-sha2-512"]
    for trusted in ([], [RSA], [ED25519, RSA]):
        assert sorted(preferred_algorithms(trusted)) == sorted(HOST_KEY_ALGORITHMS)


def test_no_weak_signature_is_accepted():
    assert not {"ssh-rsa", "ssh-dss"} & set(preferred_algorithms([RSA]))


@pytest.mark.parametrize("text", ["", " ", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!", "nonsense é", "\0"])
def test_an_unreadable_pin_is_left_out(text):
    good = ED25519.export_public_key().decode()
    assert public_keys([text, good]) == [ED25519]
