"""What each fault of the lab can be told, with units; the descriptions are shown to the operator."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Nothing(BaseModel):
    """A fault without parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cut(Nothing):
    """Seen from the host: `in` is what comes to it, `out` what it sends."""

    direction: Literal["in", "out", "both"] = Field(default="both", description="in, out or both (default)")


class Loss(Nothing):
    """Of each single packet, in each direction."""

    percent: float = Field(gt=0, le=100, description="chance of each packet to be lost, above 0 to 100")


class Delay(Nothing):
    """The round trip grows by it."""

    ms: int = Field(ge=1, le=60_000, description="milliseconds added to each packet to the host, 1 to 60000")


class DiskFull(Nothing):
    """A simulated host is always 99 % full."""

    percent: int = Field(default=98, ge=1, le=100, description="share of the free space that is taken, 98 by default")


class LockOut(Nothing):
    """TCP."""

    port: int = Field(default=22, ge=1, le=65535, description="TCP port, 22 by default")


class ContainerCrashed(Nothing):
    """Name or id."""

    container: str = Field(
        default="",
        pattern=r"^([a-zA-Z0-9][a-zA-Z0-9_.-]*)?$",
        description="name or id, by default the first that runs",
    )
