"""asyncssh's options for our connections. Pure but for reading the private key file.

Nothing comes from the user's own configuration, agent, keys or known_hosts.
"""

from collections.abc import Sequence
from typing import Any

import asyncssh

from lazaret.kernel.errors import Misconfigured
from lazaret.servers.access import KeyLogin, Login, PasswordLogin, SshEndpoint

KEEPALIVE_S = 5
KEEPALIVE_MISSES = 2
"""A dead host is noticed after (misses + 1) × 5 s = 15 s."""

HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""In the order of our preference: a host presents one key, of the first of these kinds that it has."""

PREFERRED_CIPHERS = "^aes256-gcm@openssh.com,aes128-gcm@openssh.com"
"""First among asyncssh's defaults: one call into OpenSSL per packet, where ChaCha20 takes five through Python. Half of
what a reading cost was decryption."""

_NOTHING_OF_THE_USERS: dict[str, Any] = {
    "config": None,
    "agent_path": None,
    "client_keys": None,
    "gss_host": None,
    "x509_trusted_certs": None,
}


def public_keys(host_keys: Sequence[str]) -> list[asyncssh.SSHKey]:
    """The keys that can be read; one that cannot proves nothing, so it is left out."""
    readable = []
    for text in host_keys:
        try:
            readable.append(asyncssh.import_public_key(text))
        except (asyncssh.KeyImportError, ValueError):
            continue
    return readable


def stranger_options(endpoint: SshEndpoint) -> asyncssh.SSHClientConnectionOptions:
    """To look at a host from outside: no secret is at hand."""
    return asyncssh.SSHClientConnectionOptions(
        username=endpoint.user, password=None, login_timeout=0, **_NOTHING_OF_THE_USERS
    )


def login_options(
    endpoint: SshEndpoint, trusted: Sequence[asyncssh.SSHKey], login: Login, *, keepalive: bool = True
) -> dict[str, Any]:
    """To log in, at a host that proves one of the `trusted` keys. Without `keepalive` a dead host is not noticed.

    Arguments of `asyncssh.connect`, which makes its options of them itself: to give it options would make them twice,
    a millisecond and a half each.
    """
    return (
        _NOTHING_OF_THE_USERS
        | {
            "username": endpoint.user,
            "known_hosts": (list(trusted), [], []),
            "server_host_key_algs": preferred_algorithms(trusted),
            "login_timeout": 0,
            "keepalive_interval": KEEPALIVE_S if keepalive else 0,
            "keepalive_count_max": KEEPALIVE_MISSES,
            "disable_trivial_auth": True,
            "encryption_algs": PREFERRED_CIPHERS,
        }
        | _credentials(login)
    )


def preferred_algorithms(trusted: Sequence[asyncssh.SSHKey]) -> list[str]:
    """Those of the trusted keys first, then all others: a host that has only another key is to show it, so that it is
    told apart from one that cannot talk to us."""
    ours = [algorithm.decode() for key in trusted for algorithm in key.sig_algorithms]
    ours = [algorithm for algorithm in ours if algorithm in HOST_KEY_ALGORITHMS]
    return list(dict.fromkeys([*ours, *HOST_KEY_ALGORITHMS]))


def _credentials(login: Login) -> dict[str, Any]:
    """Either the password or the key, never one after the other."""
    if isinstance(login, PasswordLogin):
        return {"password": login.password.get_secret_value(), "preferred_auth": "password,keyboard-interactive"}
    return {"password": None, "client_keys": [_private_key(login)], "preferred_auth": "publickey"}


def _private_key(login: KeyLogin) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(login.private_key)
    except (OSError, ValueError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise Misconfigured(
            f"The private key {login.private_key} cannot be used: {type(error).__name__}.",
            hint="It must be readable, in OpenSSH format, without passphrase.",
        ) from None
