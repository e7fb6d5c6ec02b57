"""What is wrong with the cable of a real host, played at the machine's own end of it: the host cannot know.

Loss and cuts are a few words of classic BPF, which every kernel with `cls_bpf` runs; delay needs `sch_netem`.
"""

from contextlib import suppress
from typing import Final, Literal

from pydantic import BaseModel

from lazaret.kernel.errors import Conflict
from lazaret.lab.commands import CommandFailed, run

Direction = Literal["in", "out", "both"]

# Verdicts of a direct-action filter: drop, or let the packet pass on.
_DROP: Final = "6 0 0 2"
_LET_GO: Final = "6 0 0 4294967295"
_LOAD_RANDOM: Final = "32 0 0 4294963256"
_SKIP_NEXT_IF_ABOVE: Final = "37 1 0"


class Wire(BaseModel):
    """All zero: the cable is well."""

    cut: Direction | None = None
    """Seen from the host."""
    loss_percent: float = 0
    """Of single packets, in each direction."""
    delay_ms: int = 0
    """Of packets to the host."""

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong with it."""
        return self == Wire()


def drop_program(*, chance: float) -> str:
    """BPF, as `tc` wants it, that drops packets with this chance, 0 to 1."""
    if chance >= 1:
        return f"1,{_DROP}"
    return f"4,{_LOAD_RANDOM},{_SKIP_NEXT_IF_ABOVE} {int(chance * (1 << 32))},{_DROP},{_LET_GO}"


def filters_of(wire: Wire) -> dict[str, str]:
    """The program for each hook of the machine's end that needs one; what the host sends is `ingress` there."""
    found = {}
    for hook, direction in (("ingress", "out"), ("egress", "in")):
        chance = 1.0 if wire.cut in (direction, "both") else wire.loss_percent / 100
        if chance > 0:
            found[hook] = drop_program(chance=chance)
    return found


async def lay(interface: str, wire: Wire) -> None:
    """Let the cable at `interface` be like that and nothing else.

    Raises `Conflict` when the kernel cannot delay; then nothing has changed.
    """
    if wire.delay_ms:
        await _delay(interface, wire.delay_ms)
    else:
        await _take_away(interface, "root")
    await _take_away(interface, "clsact")
    programs = filters_of(wire)
    if programs:
        await run("tc", "qdisc", "add", "dev", interface, "clsact")
    for hook, program in programs.items():
        await run("tc", "filter", "add", "dev", interface, hook, "bpf", "direct-action", "bytecode", program)


async def _take_away(interface: str, qdisc: str) -> None:
    with suppress(CommandFailed):  # there is none
        await run("tc", "qdisc", "delete", "dev", interface, qdisc)


async def _delay(interface: str, delay_ms: int) -> None:
    netem = ("root", "netem", "delay", f"{delay_ms}ms", "limit", "10000")
    try:
        await run("tc", "qdisc", "replace", "dev", interface, *netem)
    except CommandFailed as error:
        if "unknown" not in error.message:
            raise
        raise Conflict(
            "This machine's kernel has no sch_netem, without which no packet can be delayed.",
            hint="On Debian's own kernels: modprobe sch_netem.",
        ) from None
