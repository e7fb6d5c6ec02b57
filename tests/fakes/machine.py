"""A server as far as provisioning can see it: passwords, keys, host keys, a baseline, ports."""

import itertools
from dataclasses import dataclass, field

_numbers = itertools.count(1)


@dataclass
class Machine:
    """One machine. `reinstall` makes a new one of it; `reset_password` does not."""

    server_id: int
    address: str
    os: str = "kvm-debian-13"
    root_password: str = "first-password-of-root"
    host_keys: tuple[str, ...] = ()
    authorized_keys: set[str] = field(default_factory=set)
    accepts_passwords: bool = True
    baseline: str = ""
    answers: bool = True
    open_ports: set[int] = field(default_factory=lambda: {22})
    conflict: str = ""
    """What stands in the way of our key."""
    accepts_keys: bool = True
    passwords_seen: list[str] = field(default_factory=list)
    """Every password that reached the machine with these host keys."""
    installs: int = 0

    def __post_init__(self) -> None:
        self.host_keys = self.host_keys or self._new_host_keys()

    def reset_password(self) -> str:
        """A new root password; everything else stays."""
        self.root_password = f"pw-\"{next(_numbers)}\"<&> '{self.server_id}'"
        return self.root_password

    def reinstall(self, os: str) -> str:
        """Everything is gone, the host keys included."""
        self.os = os
        self.installs += 1
        self.host_keys = self._new_host_keys()
        self.authorized_keys.clear()
        self.baseline = ""
        self.accepts_passwords = True
        return self.reset_password()

    def _new_host_keys(self) -> tuple[str, ...]:
        return (f"ssh-ed25519 AAAAhost{self.server_id}n{next(_numbers)}",)
