"""How a real host plays each fault: its cable and its cgroup from outside, the rest by small scripts on it.

What a script prints when it inflicts, it gets on standard input to heal and to look: nothing else is kept on the host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lazaret.kernel.errors import Conflict
from lazaret.lab.commands import CommandFailed
from lazaret.lab.playing import Play

if TYPE_CHECKING:
    from lazaret.lab.nspawn import NspawnHost

_LOOK_S = 30.0
"""How long a look at the host may take; one that takes longer learned nothing."""
_DEED_S = 60.0


@dataclass(frozen=True, slots=True)
class Script:
    """A fault that is played on the running host, by root's shell. The fault's parameters are `$1`."""

    inflict: str
    heal: str
    holds: str
    """A condition: the fault is still there."""
    needs: str = ":"
    """A condition without which the fault cannot be played."""
    lacks: str = ""
    """What to say then."""

    def play(self) -> Play[NspawnHost]:
        """The three deeds."""
        return Play(inflict=self._inflict, heal=self._heal, holds=self._holds)

    async def _inflict(self, host: NspawnHost, parameters: Mapping[str, Any]) -> str:
        words = [str(value) for value in parameters.values()]
        _check_it_runs(host)
        if not await _is_true(host, self.needs, *words):
            raise Conflict(self.lacks)
        return await _run(host, self.inflict, *words)

    async def _heal(self, host: NspawnHost, memory: str) -> None:
        _check_it_runs(host)
        await _run(host, self.heal, memory=memory)

    async def _holds(self, host: NspawnHost, memory: str) -> bool:
        if not host.is_on or host.is_frozen:
            return True
        try:
            return await _is_true(host, self.holds, memory=memory)
        except (CommandFailed, Conflict):
            return True


# A host that has just been booted has no systemd to talk to for a moment.
_ASK_SYSTEMD = "until systemctl show-environment >/dev/null 2>&1; do sleep 0.1; done\n"

_SSH_UNITS = """\
active=$(for unit in ssh.socket ssh.service; do systemctl is-active --quiet $unit && echo $unit; done || true)
"""
_STOP_SSH = """\
systemctl stop --quiet ssh.socket ssh.service 2>/dev/null || true
pkill -x sshd-session || true
pkill -x sshd || true
"""
# The limit on starts is for services that crash, not for an operator who plays.
_START_SSH = """\
systemctl reset-failed ssh.service 2>/dev/null || true
[ -z "$active" ] || systemctl start $active
"""

_NOISE = "/var/log/lazaret-lab.noise"
_DISK_FULL = Script(
    inflict=f"""
        free=$(df --output=avail -k / | tail -n 1)
        fallocate -l $((free * $1 / 100))k {_NOISE}""",
    heal=f"rm -f {_NOISE}",
    holds=f"[ -s {_NOISE} ]",
)

_DOCKER_STOPPED = Script(
    needs="systemctl cat docker.service >/dev/null 2>&1",
    lacks="There is no Docker on this host.",
    inflict=_ASK_SYSTEMD
    + """
        for unit in docker.socket docker.service; do
            if systemctl is-active --quiet $unit; then echo $unit; fi
        done
        systemctl stop --quiet docker.socket docker.service""",
    heal=_ASK_SYSTEMD
    + """
        active=$(cat)
        systemctl reset-failed docker.service 2>/dev/null || true
        [ -z "$active" ] || systemctl start $active""",
    holds="! systemctl is-active --quiet docker.service",
)

_SSHD_STOPPED = Script(
    inflict=_ASK_SYSTEMD
    + _SSH_UNITS
    + 'systemctl mask --quiet --runtime ssh.service ssh.socket\necho "$active"\n'
    + _STOP_SSH,
    heal=_ASK_SYSTEMD + "active=$(cat)\nsystemctl unmask --quiet --runtime ssh.service ssh.socket\n" + _START_SSH,
    holds="[ -L /run/systemd/system/ssh.service ]",
)

_LOCK_OUT = Script(
    needs="command -v iptables >/dev/null",
    lacks="There is no iptables on this host to lock anybody out with; provisioning brings it.",
    inflict='iptables -w -I INPUT 1 -p tcp --dport "$1" -j DROP; echo "$1"',
    heal="""
        read -r port
        if iptables -w -C INPUT -p tcp --dport $port -j DROP 2>/dev/null; then
            iptables -w -D INPUT -p tcp --dport $port -j DROP
        fi""",
    holds="read -r port && iptables -w -C INPUT -p tcp --dport $port -j DROP 2>/dev/null",
)

# The first line tells the keys that we made, the second is the archive of those that were there.
_KEYS = "$(cat /etc/ssh/ssh_host_*.pub | sha256sum)"
_HOST_KEY = Script(
    inflict=_ASK_SYSTEMD
    + _SSH_UNITS
    + """
        cd /etc/ssh
        old=$(tar -c ssh_host_* | base64 -w 0)
        rm -f ssh_host_*
        ssh-keygen -q -A >/dev/null"""
    + "\n"
    + f'echo "{_KEYS}"\necho "$old"\n'
    + _STOP_SSH
    + _START_SSH,
    heal=_ASK_SYSTEMD
    + _SSH_UNITS
    + f"""
        read -r ours
        [ "{_KEYS}" = "$ours" ] || exit 0
        rm -f /etc/ssh/ssh_host_*
        base64 -d | tar -x -C /etc/ssh"""
    + "\n"
    + _STOP_SSH
    + _START_SSH,
    holds=f'read -r ours && [ "{_KEYS}" = "$ours" ]',
)

_CHOICE = "${1:-$(docker ps --format '{{.Names}}' | sort | head -n 1)}"
_CONTAINER_CRASHED = Script(
    needs=f"""[ "$(docker inspect --type=container -f '{{{{.State.Running}}}}' "{_CHOICE}" 2>/dev/null)" = true ]""",
    lacks="No such container runs on this host.",
    inflict=f"""
        chosen="{_CHOICE}"
        policy='{{{{.HostConfig.RestartPolicy.Name}}}}|{{{{.HostConfig.RestartPolicy.MaximumRetryCount}}}}'
        docker inspect --type=container -f "{{{{.Id}}}}|$policy" "$chosen"
        docker update --restart=no "$chosen" >/dev/null
        docker kill "$chosen" >/dev/null""",
    heal="""
        IFS='|' read -r id policy retries
        docker inspect --type=container $id >/dev/null 2>&1 || exit 0
        [ "$policy" != on-failure ] || policy=on-failure:$retries
        docker update --restart="${policy:-no}" $id >/dev/null
        docker start $id >/dev/null""",
    holds="""
        IFS='|' read -r id policy retries
        ! docker info >/dev/null 2>&1 ||
            [ "$(docker inspect --type=container -f '{{.State.Running}}' $id 2>/dev/null)" = false ]""",
)


def _on_the_wire(**wrong: Callable[[Mapping[str, Any]], object]) -> Play[NspawnHost]:
    """A fault of the cable; each keyword is a field of `Wire`, with what it becomes."""

    async def inflict(host: NspawnHost, parameters: Mapping[str, Any]) -> str:
        await host.set_wire(host.wire.model_copy(update={name: value(parameters) for name, value in wrong.items()}))
        return ""

    async def heal(host: NspawnHost, _: str) -> None:
        well = type(host.wire)()
        await host.set_wire(host.wire.model_copy(update={name: getattr(well, name) for name in wrong}))

    async def holds(host: NspawnHost, _: str) -> bool:
        return any(getattr(host.wire, name) for name in wrong)

    return Play(inflict=inflict, heal=heal, holds=holds)


async def _freeze(host: NspawnHost, _: Mapping[str, Any]) -> str:
    host.freeze()
    return ""


async def _thaw(host: NspawnHost, _: str) -> None:
    if host.is_frozen:
        host.thaw()


async def _is_frozen(host: NspawnHost, _: str) -> bool:
    return host.is_frozen


async def _wipe(host: NspawnHost, _: Mapping[str, Any]) -> str:
    await host.wipe()
    return ""


async def _unwipe(host: NspawnHost, _: str) -> None:
    await host.unwipe()


async def _is_wiped(host: NspawnHost, _: str) -> bool:
    return host.is_wiped


PLAYS: Final[Mapping[str, Play[NspawnHost]]] = {
    "hang": Play(inflict=_freeze, heal=_thaw, holds=_is_frozen),
    "cut": _on_the_wire(cut=lambda parameters: parameters["direction"]),
    "loss": _on_the_wire(loss_percent=lambda parameters: parameters["percent"]),
    "delay": _on_the_wire(delay_ms=lambda parameters: parameters["ms"]),
    "disk_full": _DISK_FULL.play(),
    "docker_stopped": _DOCKER_STOPPED.play(),
    "sshd_stopped": _SSHD_STOPPED.play(),
    "lock_out": _LOCK_OUT.play(),
    "host_key": _HOST_KEY.play(),
    "container_crashed": _CONTAINER_CRASHED.play(),
    "wiped": Play(inflict=_wipe, heal=_unwipe, holds=_is_wiped),
}


def _check_it_runs(host: NspawnHost) -> None:
    """On a host that hangs a script would wait for systemd in vain."""
    if not host.is_on:
        raise Conflict("The host is off.", hint="Power it on first.")
    if host.is_frozen:
        raise Conflict("The host hangs.", hint="Heal that first.")


async def _is_true(host: NspawnHost, condition: str, *words: str, memory: str = "") -> bool:
    script = f"if {condition}\nthen echo yes; else echo no; fi"
    return (await _shell(host, script, *words, memory=memory, timeout_s=_LOOK_S)).strip() == "yes"


async def _run(host: NspawnHost, script: str, *words: str, memory: str = "") -> str:
    return await _shell(host, f"set -eu\n{script}", *words, memory=memory, timeout_s=_DEED_S)


def _shell(host: NspawnHost, script: str, *words: str, memory: str, timeout_s: float) -> Awaitable[str]:
    return host.run_inside("sh", "-c", script, "sh", *words, stdin=memory, timeout_s=timeout_s)
