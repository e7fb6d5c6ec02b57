"""What a later process of the lab must know of a real host. Values only; `nspawn` writes them down."""

from pydantic import BaseModel

from lazaret.lab.processes import ProcessIdentity
from lazaret.lab.wire import Wire


class HostRecord(BaseModel):
    """What a later process of the lab must know of a host."""

    handle_id: int
    number: int
    """The last number of its address."""
    process: ProcessIdentity | None = None
    """systemd-nspawn; None while the host is off."""
    os: str = ""
    """The template that it was made from."""
    hostname: str = ""
    wire: Wire = Wire()
    """What is wrong with its cable: outside the machine, so that neither a reboot nor a new disk changes it."""
