"""What went wrong while a connection was opened, in our own words: asyncssh's and the system's errors told apart."""

import contextlib
from collections.abc import Iterator

import asyncssh

from lazaret.servers.access import (
    AccessError,
    ConnectionRefusedByHost,
    HostKeyChanged,
    HostSilent,
    HungUp,
    LoginRefused,
    NoBanner,
    SshEndpoint,
)


def place(endpoint: SshEndpoint) -> str:
    """How messages name the endpoint."""
    return f"{endpoint.address} port {endpoint.port}"


@contextlib.contextmanager
def while_connecting(endpoint: SshEndpoint) -> Iterator[None]:
    """For the TCP connect: refused and silent."""
    try:
        yield
    except ConnectionRefusedError:
        raise ConnectionRefusedByHost(f"{place(endpoint)} refuses connections.") from None
    except TimeoutError:
        raise HostSilent(f"{place(endpoint)} does not answer in time.") from None
    except (OSError, UnicodeError) as error:  # the latter for what cannot be a host name
        why = getattr(error, "strerror", None) or type(error).__name__
        raise HostSilent(f"{place(endpoint)} cannot be reached: {why}.") from None


@contextlib.contextmanager
def while_logging_in(endpoint: SshEndpoint) -> Iterator[None]:
    """For everything between TCP's connect and the end of the login: somebody is there, whatever goes wrong."""
    where = place(endpoint)
    try:
        yield
    except AccessError:
        raise
    except asyncssh.HostKeyNotVerifiable:
        raise host_key_changed(endpoint) from None
    except asyncssh.PermissionDenied:
        raise LoginRefused(f"{where} does not accept this login.") from None
    except asyncssh.KeyExchangeFailed:
        raise NoBanner(f"{where} offers no encryption or host key of a kind that we accept.") from None
    except TimeoutError:
        raise NoBanner(f"{where} accepts connections, but no login came about in time.") from None
    except (asyncssh.ConnectionLost, ConnectionError, EOFError):
        raise HungUp(f"{where} accepts connections, and hangs up before a login.") from None
    except asyncssh.DisconnectError as error:
        if "authentication" in error.reason.lower():  # sshd hangs up after so many tries
            raise LoginRefused(f"{where} does not accept this login.") from None
        raise NoBanner(f"{where} accepts connections, but ends the talk or does not speak SSH.") from None
    except (asyncssh.Error, OSError) as error:
        raise NoBanner(f"{where} accepts connections, but the login fails: {type(error).__name__}.") from None


def host_key_changed(endpoint: SshEndpoint) -> HostKeyChanged:
    """The host does not prove a pinned key."""
    return HostKeyChanged(
        f"{place(endpoint)} presents a host key that is not pinned for it.", hint="Nothing secret was sent."
    )
