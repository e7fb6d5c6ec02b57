"""asyncssh's and the system's errors in our words."""

import errno
import socket
import traceback

import asyncssh
import pytest

from lazaret.adapters.ssh.failures import while_connecting, while_logging_in
from lazaret.servers.access import (
    ConnectionRefusedByHost,
    HostKeyChanged,
    HostSilent,
    HungUp,
    LoginRefused,
    NoBanner,
    SshEndpoint,
)

HERE = SshEndpoint("203.0.113.20", 2222)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionRefusedError(), ConnectionRefusedByHost),
        (TimeoutError(), HostSilent),
        (OSError(errno.EHOSTUNREACH, "No route to host"), HostSilent),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), HostSilent),
        (ConnectionResetError(), HostSilent),
        (socket.gaierror(-2, "Name or service not known"), HostSilent),
        (UnicodeError("label too long"), HostSilent),
    ],
)
def test_connecting(error, kind):
    with pytest.raises(kind, match=r"203\.0\.113\.20 port 2222") as caught, while_connecting(HERE):
        raise error
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncssh.HostKeyNotVerifiable("no"), HostKeyChanged),
        (asyncssh.PermissionDenied("no"), LoginRefused),
        (asyncssh.ProtocolError("Too many authentication failures"), LoginRefused),
        (asyncssh.KeyExchangeFailed("No matching key exchange algorithm found"), NoBanner),
        (asyncssh.ProtocolError("Banner line too long"), NoBanner),
        (asyncssh.ConnectionLost("Connection closed"), HungUp),
        (asyncssh.ChannelOpenError(1, "no"), NoBanner),
        (ConnectionResetError(), HungUp),
        (BrokenPipeError(), HungUp),
        (TimeoutError(), NoBanner),
        (EOFError(), HungUp),
        (LoginRefused("ours"), LoginRefused),
    ],
)
def test_logging_in(error, kind):
    with pytest.raises(kind) as caught, while_logging_in(HERE):
        raise error
    assert type(caught.value) is kind


def test_the_words_of_the_host_are_not_repeated():
    with pytest.raises(NoBanner) as caught, while_logging_in(HERE):
        raise asyncssh.ProtocolError("planted by the host")
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_our_own_faults_are_not_the_hosts():
    for names in (while_connecting, while_logging_in):
        with pytest.raises(ZeroDivisionError), names(HERE):
            raise ZeroDivisionError
