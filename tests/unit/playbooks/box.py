"""A host in memory for the module that changes how it can be reached: files, ufw, sshd, systemd; each command may fail.

It says at once when somebody could be locked out. Pure: the module's own doors to the machine are replaced.
"""

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.unit.playbooks.modules import module

SSH_DEFAULTS = {
    "passwordauthentication": "yes",
    "kbdinteractiveauthentication": "yes",
    "permitrootlogin": "yes",
    "pubkeyauthentication": "yes",
}


class LockedOut(AssertionError):
    """The change that was just made could shut everybody out."""


@dataclass
class Box:
    """A host that is reached on `ssh_port`. The checked command number `fails_at` fails; None: none does."""

    ssh_port: int
    files: dict[str, str]
    sshd_has_its_own_way: str = ""
    """An option that a Match block holds to `yes`."""
    fails_at: int | None = None
    dies_at: int | None = None
    """The module is gone at this command: killed, or its connection lost."""
    armed: bool = False
    sshd_tested: bool = False
    risks: list[str] = field(default_factory=list)
    """What was done that could have shut everybody out."""
    commands: int = 0
    checked: int = 0

    def module(self) -> ModuleType:
        """The module, with this host in place of the machine."""
        access = module("machine_access")
        paths = SimpleNamespace(
            exists=lambda path: path in self.files or self._is_directory(path),
            isdir=self._is_directory,
            dirname=lambda path: path.rpartition("/")[0],
        )
        access.os = SimpleNamespace(path=paths, makedirs=self._make_directory)  # type: ignore[attr-defined]
        access.shutil = SimpleNamespace(copy2=self._copy, rmtree=self._remove_tree)  # type: ignore[attr-defined]
        access.read = self.files.get  # type: ignore[attr-defined]
        access.write = self._write  # type: ignore[attr-defined]
        access.run = self._run(access.Failed)  # type: ignore[attr-defined]
        return access

    def is_in_order(self, ports: set[int]) -> bool:
        """What an attacker and an operator would find from outside."""
        effective = self._effective()
        return (
            self._is_up()
            and ports <= self._allowed()
            and effective["passwordauthentication"] == effective["kbdinteractiveauthentication"] == "no"
            and effective["permitrootlogin"] == "prohibit-password"
            and effective["pubkeyauthentication"] == "yes"
        )

    # --- what could shut everybody out

    def _risk(self, what: str) -> None:
        if not self.armed:
            raise LockedOut(f"{what} without a timer that takes it back")
        self.risks.append(what)

    def _firewall_comes_up(self, what: str) -> None:
        self._risk(what)
        if self.ssh_port not in self._allowed():
            raise LockedOut(f"{what} before port {self.ssh_port} is allowed")

    def _sshd_reloads(self) -> None:
        self._risk("sshd is reloaded")
        if not self.sshd_tested:
            raise LockedOut("sshd is reloaded with a configuration that nobody tested")

    # --- the doors

    def _write(self, path: str, content: str, mode: int = 0o644) -> None:
        if path.startswith(("/etc/ssh/", "/etc/ufw/", "/etc/default/ufw")):
            self._risk(f"{path} is written")
        if path.startswith("/etc/ssh/"):
            self.sshd_tested = False
        self.files[path] = content

    def _make_directory(self, path: str, mode: int = 0o755, exist_ok: bool = False) -> None:
        self.files[f"{path}/"] = ""

    def _is_directory(self, path: str) -> bool:
        return f"{path}/" in self.files

    def _copy(self, source: str, target: str) -> None:
        self.files[target] = self.files[source]

    def _remove_tree(self, path: str, ignore_errors: bool = False) -> None:
        for name in [name for name in self.files if name.startswith(f"{path}/")]:
            del self.files[name]

    def _run(self, failed: type[Exception]) -> Any:
        def run(*command: str, check: bool = True, stdin: str | None = None) -> str:
            self.commands += 1
            if self.commands == self.dies_at:
                raise KeyboardInterrupt
            if check:
                self.checked += 1
                if self.checked == self.fails_at:
                    raise failed(f"{command[0]} failed")
            return self._play(command)

        return run

    def _play(self, command: tuple[str, ...]) -> str:
        match command:
            case ("sshd", "-T"):
                return "\n".join(f"{key} {value}" for key, value in self._effective().items())
            case ("sshd", "-t"):
                self.sshd_tested = True
            case ("ufw", "allow", *_, ports):
                self.files["/etc/ufw/user.rules"] = (
                    self.files.get("/etc/ufw/user.rules", "")
                    + f"### tuple ### allow tcp {ports} 0.0.0.0/0 any 0.0.0.0/0 in\n"
                )
            case ("ufw", "--force", "enable"):
                self._firewall_comes_up("ufw is enabled")
                self.files["/etc/ufw/ufw.conf"] = "ENABLED=yes\n"
            case ("ufw", "reload"):
                self._firewall_comes_up("ufw is reloaded")
            case ("systemctl", "try-reload-or-restart", "ssh"):
                self._sshd_reloads()
            case ("systemd-run", *_):
                self.armed = True
            case ("systemctl", "stop", unit) if unit.endswith(".timer"):
                self.armed = False
            case (tables, "-S", chain) if tables.startswith("ip"):
                return self._kernel(chain) if self._is_up() else ""
        return ""

    def _is_up(self) -> bool:
        return "ENABLED=yes" in self.files.get("/etc/ufw/ufw.conf", "")

    def _kernel(self, chain: str) -> str:
        if chain == "INPUT":
            return "-P INPUT DROP\n-A INPUT -j ufw-before-input\n-A INPUT -j ufw6-before-input\n"
        block = self.files.get("/etc/ufw/after.rules", "")
        return "-A DOCKER-USER -j DROP\n" if "-A DOCKER-USER -j DROP" in block else ""

    def _allowed(self) -> set[int]:
        access = module("machine_access")
        return set(access.allowed_ports(self.files.get("/etc/ufw/user.rules", "")))

    def _effective(self) -> dict[str, str]:
        words = [
            line.split(" ", 1) for line in self.files.get("/etc/ssh/sshd_config.d/00-lazaret.conf", "").split("\n")
        ]
        ours = {word[0].lower(): word[1] for word in words if len(word) == 2 and not word[0].startswith("#")}
        own_way = {self.sshd_has_its_own_way: "yes"} if self.sshd_has_its_own_way else {}
        return SSH_DEFAULTS | ours | own_way
